//! Forms: the part of HTML that the tests' user agent needs.

use super::params::Params;

#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) controls: Vec<Control>,
}

#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) value: String,
    /// The text on a button.
    pub(crate) label: String,
}

impl Form {
    /// The fields of a submitted form: hidden fields unchanged, user name and password filled in, and the button that agrees.
    pub(crate) fn filled(&self, password: &str) -> Params {
        self.pressed(password, Control::says_yes)
    }

    /// The same with the button that declines.
    pub(crate) fn declined(&self) -> Params {
        self.pressed("", Control::says_no)
    }

    fn pressed(&self, password: &str, button: impl Fn(&Control) -> bool) -> Params {
        let value = |control: &Control| match control.kind.as_str() {
            "password" => Some(password.to_owned()),
            "text" => Some("alice".to_owned()),
            "submit" => button(control).then(|| control.value.clone()),
            _ => Some(control.value.clone()),
        };
        let named = self
            .controls
            .iter()
            .filter(|control| !control.name.is_empty());
        named
            .filter_map(|control| value(control).map(|value| (control.name.clone(), value)))
            .collect()
    }

    pub(crate) fn asks_for_a_password(&self) -> bool {
        self.controls
            .iter()
            .any(|control| control.kind == "password")
    }

    pub(crate) fn can_be_answered(&self) -> bool {
        self.controls.iter().any(Control::says_yes)
    }

    pub(crate) fn can_be_declined(&self) -> bool {
        self.controls.iter().any(Control::says_no)
    }
}

impl Control {
    fn says_yes(&self) -> bool {
        self.says(&["sign", "log in", "allow", "authorize", "continue"]) && !self.says(&["deny"])
    }

    fn says_no(&self) -> bool {
        self.says(&["deny", "cancel"])
    }

    /// Whether this is a button with one of these words on it.
    fn says(&self, words: &[&str]) -> bool {
        let text = format!("{} {}", self.value, self.label).to_lowercase();
        self.kind == "submit" && words.iter().any(|word| text.contains(word))
    }
}

pub(crate) fn forms(page: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    for piece in page.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        let (name, attributes) = tag
            .split_once(|c: char| c.is_whitespace())
            .unwrap_or((tag, ""));
        let attribute = |wanted: &str| attribute(attributes, wanted);
        match name.to_ascii_lowercase().as_str() {
            "form" => {
                open = true;
                forms.push(Form {
                    action: attribute("action").unwrap_or_default(),
                    controls: Vec::new(),
                });
            }
            "/form" => open = false,
            element @ ("input" | "button") if open => {
                let default = if element == "button" {
                    "submit"
                } else {
                    "text"
                };
                let control = Control {
                    kind: attribute("type").unwrap_or_else(|| default.to_owned()),
                    name: attribute("name").unwrap_or_default(),
                    value: attribute("value").unwrap_or_default(),
                    label: text.trim().to_owned(),
                };
                forms
                    .last_mut()
                    .expect("a form is open")
                    .controls
                    .push(control);
            }
            _ => {}
        }
    }
    forms
}

/// The unescaped value of one attribute: `name="value"`, `name='value'` or `name=value`.
fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (value, after) = after.strip_prefix('=').map_or(("", after), value);
        if name.eq_ignore_ascii_case(wanted) {
            return Some(unescaped(value));
        }
        rest = after.trim_start();
    }
    None
}

fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// The text that this HTML shows.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once('&') {
        out += before;
        let known = reference
            .split_once(';')
            .and_then(|(name, after)| Some((character(name)?, after)));
        let (character, after) = known.unwrap_or(('&', reference));
        out.push(character);
        rest = after;
    }
    out + rest
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let parsed = number
                .strip_prefix(['x', 'X'])
                .map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16));
            char::from_u32(parsed.ok()?)
        }
    }
}
