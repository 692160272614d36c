"""What the fields of the API mean: a table for each area has names of models, separated by spaces, with
what their fields mean. Only the OpenAPI document needs it, so nothing else imports it."""
