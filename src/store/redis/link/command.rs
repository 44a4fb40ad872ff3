//! Commands and scripts, and the hash slots of their keys.

use redis::Cmd;

/// A Lua script. Servers know it by its SHA-1 once they have run it.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    sha1: String,
}

impl Script {
    pub(crate) fn new(text: &'static str) -> Self {
        let sha1 = redis::Script::new(text).get_hash().to_owned();
        Self { text, sha1 }
    }
}

/// One command. No `Debug`: the arguments are secrets.
#[derive(Clone)]
pub(crate) struct Command {
    cmd: Cmd,
    /// The text of the script that the command calls.
    script: Option<&'static str>,
    slot: Option<u16>,
}

impl Command {
    /// A command without arguments: `GET`, `SET` ...
    pub(crate) fn new(name: &str) -> Self {
        Self {
            cmd: redis::cmd(name),
            script: None,
            slot: None,
        }
    }

    /// A call of a script, by its SHA-1. In a cluster, all keys must be in the same hash slot.
    pub(crate) fn script(script: &Script, keys: &[&[u8]], args: &[&[u8]]) -> Self {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&script.sha1).arg(keys.len());
        for argument in keys.iter().chain(args) {
            cmd.arg(*argument);
        }
        Self {
            cmd,
            script: Some(script.text),
            slot: keys.first().map(|key| slot(key)),
        }
    }

    /// Adds a key. The first key decides which node of a cluster the command is for.
    #[must_use]
    pub(crate) fn key(mut self, key: &[u8]) -> Self {
        self.slot = self.slot.or_else(|| Some(slot(key)));
        self.arg(key)
    }

    /// Sends a command without keys to the node of this key.
    #[must_use]
    pub(crate) fn beside(self, key: &[u8]) -> Self {
        Self {
            slot: Some(slot(key)),
            ..self
        }
    }

    #[must_use]
    pub(crate) fn arg(mut self, argument: &[u8]) -> Self {
        self.cmd.arg(argument);
        self
    }

    pub(super) fn cmd(&self) -> &Cmd {
        &self.cmd
    }

    /// The call of a script for a server that does not know the script; `None` for other commands. `EVAL` runs the script and
    /// makes the server remember it.
    pub(super) fn with_text(&self) -> Option<Cmd> {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(self.script?);
        // All but the verb and the SHA-1. The cursor is for `SCAN`, which has no script.
        for argument in self.cmd.args_iter().skip(2) {
            if let redis::Arg::Simple(bytes) = argument {
                cmd.arg(bytes);
            }
        }
        Some(cmd)
    }

    #[cfg(test)]
    pub(super) fn script_text(&self) -> Option<&'static str> {
        self.script
    }

    pub(super) fn slot(&self) -> Option<u16> {
        self.slot
    }
}

/// The number of hash slots of a cluster.
pub(super) const SLOTS: u16 = 16384;

/// The hash slot of a key: that of the text in its first `{..}`, if there is one that is not empty.
fn slot(key: &[u8]) -> u16 {
    let tagged = |key: &'_ [u8]| -> Option<(usize, usize)> {
        let start = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key.get(start..)?.iter().position(|byte| *byte == b'}')?;
        (length > 0).then_some((start, start + length))
    };
    let hashed = tagged(key).and_then(|(start, end)| key.get(start..end));
    crc16(hashed.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let is_set = crc & 0x8000 != 0;
            (crc << 1) ^ if is_set { 0x1021 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }

    #[test]
    fn a_script_by_its_text_has_the_same_keys_and_arguments() {
        let script = Script::new("return 1");
        let command = Command::script(&script, &[b"k"], &[b"", b"\r\n"]);
        let mut expected = redis::cmd("EVAL");
        expected.arg("return 1").arg(1).arg("k").arg("").arg("\r\n");
        let with_text = command.with_text().unwrap();
        assert_eq!(
            with_text.get_packed_command(),
            expected.get_packed_command()
        );
        assert!(Command::new("PING").with_text().is_none());
    }

    #[test]
    fn the_first_key_decides_the_slot() {
        let command = Command::new("SET").key(b"foo").arg(b"1").key(b"bar");
        assert_eq!(command.slot(), Some(12182));
        assert_eq!(Command::new("PING").slot(), None);
    }
}
