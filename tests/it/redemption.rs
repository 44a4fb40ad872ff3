//! Redemptions, against an upstream that redeems whatever it is asked to.

mod once;
