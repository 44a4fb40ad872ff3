//! Finds and replaces codes in the upstream's answers. All other bytes stay unchanged.
//!
//! A [`Carrier`] is a part of an answer that can carry a code to a client: a `Location`, or a form of a page. [`Carrier::read`]
//! returns what it contains as a [`Carried`]; [`mod@crate::answer::judge`] judges that; [`Carrier::rewrite`] applies a
//! [`Replacement`]. To add a carrier, add a file here and a line in [`carriers`].

mod carried;
mod credentials;
pub(crate) mod detect;
pub(crate) mod document;
pub(crate) mod form_post;
pub(crate) mod html;
pub(crate) mod jarm;
pub(crate) mod location;
pub(crate) mod metadata;
pub(crate) mod refresh;

pub(crate) use carried::{Carried, Ours, Rewritten};
pub use carried::{Carrier, Replacement};
use form_post::FormPost;
use location::Location;

/// The carriers of an answer: its `Location`, and the forms of its body that may be a response. If browsers follow the
/// `Location`, the forms are left out: the body is not displayed, and it is emptied if the `Location` has a code.
pub(crate) fn carriers<'a>(
    location: Option<&'a [u8]>,
    is_followed: bool,
    body: &'a [u8],
) -> Vec<Box<dyn Carrier + 'a>> {
    let location = location.map(|location| Box::new(Location::new(location)) as Box<dyn Carrier>);
    let forms = match location {
        Some(_) if is_followed => Vec::new(),
        Some(_) | None => FormPost::all(body),
    };
    let forms = forms
        .into_iter()
        .map(|form| Box::new(form) as Box<dyn Carrier>);
    location.into_iter().chain(forms).collect()
}

#[cfg(test)]
mod tests;
