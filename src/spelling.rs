//! How else the same text may be written: escapes around it, a name that some server takes for another one.
//!
//! For looking only: nothing that is decoded here is ever sent, and nothing that is found here is ever let through. Three
//! questions are asked of foreign bytes, in requests and in answers alike, and each has one answer:
//!
//! - [`layers`]: does it hold of the text, or of what it is without its escapes?
//! - [`twins`]: does this code stand in the text, in whatever encoding?
//! - [`mod@skeleton`]: which client may a server mean that compares loosely?

pub mod layers;
pub mod skeleton;
pub mod twins;

pub use layers::{any_layer, peel};
pub use skeleton::skeleton;
pub use twins::Twins;
