"""The network: links that send and receive IP packets, routes, local ports, privileges."""
