//! The store of the gates under test. The environment variable `STORE` names its kind (`memory`, `sealed` or `redis`), so that
//! all tests can be run with each of them.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pkce_gate::parts::Purpose;

use super::gate::{file, scratch};
use super::params::unguessable;
use super::redis::Redis;

/// A key file for stores that encrypt their records.
pub(crate) fn seal_key() -> PathBuf {
    static KEY: LazyLock<PathBuf> = LazyLock::new(|| {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        file(&scratch(), "seal", key)
    });
    KEY.clone()
}

/// Lines of `[store]` for a sealed store with that key.
pub(crate) fn sealed() -> String {
    let key = seal_key();
    let key = key.display();
    format!("kind = \"sealed\"\nkeys = [{{ id = \"test\", file = \"{key}\" }}]\n")
}

/// The store of one gate: no other gate has its key, or its keys in Redis.
pub(crate) struct Kept {
    /// Lines of `[store]`; empty for the default.
    lines: String,
}

impl Kept {
    /// The store that `STORE` names. Its key file is in the directory of the gate's configuration.
    pub(crate) fn beside(directory: &Path) -> Self {
        let kind = env::var_os("STORE").unwrap_or_default();
        let kind = kind.to_string_lossy();
        let more = match kind.as_ref() {
            "" | "memory" => {
                return Self {
                    lines: String::new(),
                };
            }
            "sealed" => String::new(),
            "redis" => {
                let prefix = unguessable();
                // A deadline that a busy machine keeps.
                format!(
                    "url = \"{}\"\nkey_prefix = \"{prefix}\"\ndeadline = \"2s\"\n",
                    redis()
                )
            }
            _ => panic!("STORE is memory, sealed or redis, not {kind}"),
        };
        file(directory, "seal", &key());
        let keys = "keys = [{ id = \"test\", file = \"seal\" }]";
        Self {
            lines: format!("kind = \"{kind}\"\n{keys}\n{more}"),
        }
    }

    /// Whether this configuration names no store of its own, and `STORE` names Redis.
    pub(crate) fn is_in_redis(&self, config: &str) -> bool {
        self.lines.starts_with("kind = \"redis\"") && !has_kind(config)
    }

    /// The configuration with this store, unless it names one itself.
    pub(crate) fn configure(&self, config: &str) -> String {
        if self.lines.is_empty() || has_kind(config) {
            config.to_owned()
        } else if config.contains("[store]\n") {
            config.replacen("[store]\n", &format!("[store]\n{}", self.lines), 1)
        } else {
            format!("{config}\n[store]\n{}", self.lines)
        }
    }
}

fn has_kind(config: &str) -> bool {
    config.contains("\nkind = ")
}

/// 32 random bytes in base64, as a key file has them.
fn key() -> String {
    let bytes = URL_SAFE_NO_PAD.decode(unguessable()).expect("base64url");
    STANDARD.encode(bytes) + "\n"
}

/// The URL of the server that all gates of this process share.
fn redis() -> String {
    static SERVER: LazyLock<Redis> = LazyLock::new(Redis::single);
    format!("redis://{}", SERVER.address())
}

/// The most characters of `state` towards the upstream.
pub(crate) fn longest_handle() -> usize {
    let is_sealed = env::var_os("STORE").is_some_and(|kind| kind == "sealed");
    if is_sealed { 512 } else { 32 }
}

/// Whether a text has a form of the gate's handles: short, if the store keeps the record, or sealed.
pub(crate) fn is_handle(purpose: Purpose, text: &str) -> bool {
    let Some(rest) = text.strip_prefix(purpose.prefix()) else {
        return false;
    };
    match rest.strip_prefix('-') {
        None => text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        Some(sealed) => {
            let (length, rest) = sealed.split_at_checked(4).unwrap_or_default();
            let length = usize::from_str_radix(length, 16);
            let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            length.is_ok_and(|length| rest.len() == length + 5) && rest.bytes().all(is_base64)
        }
    }
}
