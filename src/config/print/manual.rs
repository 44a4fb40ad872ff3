//! The page of the manual that has every key.

use crate::config::key::{Declared, Section};
use crate::config::schema::SECTIONS;

const HEAD: &str = "\
# Configuration

<!-- Written by `pkce-gate schema --format markdown`: change the declarations in `src/config/schema/`, not this page. -->

`pkce-gate` reads one TOML file (`--config FILE`, by default `config.toml`). A key that is not written has its default; one that does
not exist is an error. `pkce-gate check` says what is wrong with a file, and what it means for each client.

Durations are a whole number with `ms`, `s`, `m` or `h`; sizes one with `B`, `KiB`, `MiB` or `GiB`. Relative paths begin beside the file.

The smallest file that works:

```toml
[[upstream]]
url = \"http://127.0.0.1:9000\"

[upstream.endpoints]
authorization = [\"/oauth2/authorize\"]
token = [\"/oauth2/token\"]
```

`pkce-gate schema --format toml` writes a file with every key, its default and a line of explanation.

## Help in your editor

`pkce-gate schema` writes a [JSON Schema](https://json-schema.org/) (draft 2020-12) of the file. Editors that use Taplo (Even Better
TOML in VS Code, and others) then complete keys, show what they do, and underline mistakes:

```sh
pkce-gate schema > pkce-gate.schema.json
```

and as the first line of the configuration:

```toml
#:schema ./pkce-gate.schema.json
```

The schema knows names, types and the form of values. `pkce-gate check` knows more: ranges of durations, keys that contradict each
other, and what a configuration does not promise.
";

pub(crate) fn page() -> String {
    let list: String = SECTIONS.iter().map(|section| entry(section)).collect();
    let sections: String = SECTIONS.iter().map(|section| written(section)).collect();
    format!("{HEAD}\n## Sections\n\n{list}{sections}")
}

/// A line of the list at the beginning.
fn entry(section: &Section) -> String {
    let keys = section.keys.iter();
    let keys = keys.filter(|key| key.value().later().is_none());
    let links: Vec<String> = keys
        .map(|key| format!("[`{}`](#{})", key.name(), anchor(section, *key)))
        .collect();
    let header = section.header();
    format!("- [`{header}`](#{}): {}\n", section.path, links.join(", "))
}

fn anchor(section: &Section, key: &dyn Declared) -> String {
    format!("{}.{}", section.path, key.name())
}

fn written(section: &Section) -> String {
    let (path, header) = (section.path, section.header());
    let text = section.text;
    let mut page = format!("\n<a id=\"{path}\"></a>\n\n## `{header}`\n\n{text}\n");
    let all = section.keys.iter().copied();
    let (later, keys): (Vec<&dyn Declared>, Vec<&dyn Declared>) =
        all.partition(|key| key.value().later().is_some());
    page.extend(keys.into_iter().map(|key| described(section, key)));
    if !later.is_empty() {
        let names: Vec<String> = later
            .iter()
            .map(|key| format!("`{}`", key.name()))
            .collect();
        page += &format!(
            "\nReserved for later versions, and refused until then: {}.\n",
            names.join(", ")
        );
    }
    page
}

fn described(section: &Section, key: &dyn Declared) -> String {
    let (about, value) = (key.about(), key.value());
    let (anchor, name) = (anchor(section, key), key.name());
    let mut lines = format!(
        "\n<a id=\"{anchor}\"></a>\n\n### `{name}`\n\n{}\n\n",
        about.text
    );
    for (word, means) in value.words() {
        lines += &format!("- `{word:?}`: {means}\n");
    }
    if !value.words().is_empty() {
        lines += "\n";
    }
    let absent = match (about.required, about.absent, value.default()) {
        (Some(_), ..) => "Required.".to_owned(),
        (None, Some(absent), _) => format!("Default: {absent}."),
        (None, None, Some(default)) => format!("Default: `{default}`."),
        (None, None, None) => "Optional.".to_owned(),
    };
    let what = value.what();
    let mut facts = format!("{}. {absent}", capitalized(&what));
    if let Some(example) = about.example {
        facts += &format!(" Example: `{name} = {example}`.");
    }
    if let [first, ..] = value.later_words() {
        facts += &format!(" Reserved for a later version: `{first:?}`");
        for word in value.later_words().iter().skip(1) {
            facts += &format!(", `{word:?}`");
        }
        facts += ".";
    }
    if about.restart {
        facts += " A change needs a restart.";
    }
    lines + &facts + "\n"
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
