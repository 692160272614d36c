"""The audit: what each kind of fact says about who did what to which thing, pure."""
