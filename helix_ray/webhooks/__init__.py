"""Webhooks: from facts of the journal to signed requests, at least once and in order of their numbers.

canonical, body and signing make a request; schedule says when a try follows; outbox keeps what is still to be
sent; courier sends it, with a bulkhead for each webhook.
"""
