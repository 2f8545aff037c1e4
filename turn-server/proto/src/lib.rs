//! The STUN/TURN codec and the server and client state machines.
