module helixray.example/go_client

go 1.19
