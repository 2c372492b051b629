//! Takes outcomes, settles credits, writes user events, grants file bytes and owns the clock.
