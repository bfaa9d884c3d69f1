"""Sans-IO parsers and serializers of HTTP/1, and a parser of the TLS ClientHello: bytes in, values out."""
