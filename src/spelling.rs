//! How else the same text may be written: escapes around it, a name that some server takes for another one.
//!
//! For looking only: nothing that is decoded here is ever sent, and nothing that is found here is ever let through. Three
//! questions are asked of foreign bytes, in requests and in answers alike, and each has one answer:
//!
//! - [`layers`]: does it hold of the text, or of what it is without its escapes?
//! - [`twins`]: does this code stand in the text, in whatever encoding?
//! - [`mod@skeleton`]: which client may a server mean that compares loosely?
//!
//! [`shortcuts`] tell most requests and answers from those of which such a question has to be asked.

pub(crate) mod layers;
pub(crate) mod shortcuts;
pub(crate) mod skeleton;
pub(crate) mod twins;
mod words;

pub(crate) use layers::any_layer;
pub(crate) use skeleton::skeleton;
pub(crate) use twins::Twins;
pub(crate) use words::{is_word, says};
