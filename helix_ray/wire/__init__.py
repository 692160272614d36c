"""The JSON of requests and responses, shared by the server and the client."""
