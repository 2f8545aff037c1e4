//! What the tests share: the NAT lab, programs, cameras.
