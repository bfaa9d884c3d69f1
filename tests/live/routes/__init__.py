"""Routes through real proxies, in networks that the tests make."""
