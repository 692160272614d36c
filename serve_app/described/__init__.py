"""What the fields of the API mean: an area's table has names of models, separated by spaces, and for these what
each field means. Only the OpenAPI document needs it, so nothing else imports it."""
