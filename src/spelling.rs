//! Other spellings of the same text: escapes, and names that some server takes for another one.
//!
//! For inspection only: decoded text is never sent, and nothing is let through because of it. Three questions are asked
//! of untrusted bytes, in requests and responses alike:
//!
//! - [`layers`]: does a condition hold for the text, or for the text without its escapes?
//! - [`twins`]: does the text contain this code, in any encoding?
//! - [`mod@skeleton`]: which client may be meant by a server that compares identifiers loosely?
//!
//! [`shortcuts`] are cheap checks that rule most requests and responses out beforehand.

pub(crate) mod layers;
pub(crate) mod shortcuts;
pub(crate) mod skeleton;
pub(crate) mod twins;
mod words;

pub(crate) use layers::any_layer;
pub(crate) use skeleton::skeleton;
pub(crate) use twins::Twins;
pub(crate) use words::{is_word, says, without_nul};
