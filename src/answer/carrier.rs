//! Finding and replacing a code in what the upstream answers. Bytes in, bytes out, the rest untouched.
//!
//! A [`Carrier`] is a place in an answer in which a code travels. It reads itself into a [`Carried`]: which handle it belongs to,
//! which codes and tokens it carries, whether it is an error. What that means is judged elsewhere ([`crate::answer`]); the
//! carrier then writes itself back with a [`Replacement`]. A new carrier is a file here, and a line in [`carriers`].

pub(crate) mod beacon;
mod carried;
mod credentials;
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

/// The carriers of an answer: its `Location`, and the forms of its body that say anything. Where the `Location` is followed nobody
/// is shown the body, and it goes out empty beside a code.
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
