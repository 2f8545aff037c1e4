//! The signaling server: HTTP, WebSocket, SQL.
