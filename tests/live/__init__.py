"""Tests with real sockets, real clients and real servers, run by hand."""
