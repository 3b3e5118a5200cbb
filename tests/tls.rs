//! TLS as clients and servers of the proxy see it.
