//! Chromium watches Porthole: see `tests/` for what is proven and `driver/` for how it is driven.
