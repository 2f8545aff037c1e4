//! Two agents on one link, in virtual time.
