//! What a server stores: as a thief reads it, filled up, or replaced by garbage.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rand::TryRng as _;
use rand::rngs::SysRng;

use super::Redis;
use super::resp::Reply;
use crate::support::http::PATIENCE;

/// By what [`Redis::garbage`] replaces values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// Random bytes in values of the same type and length.
    SameType,
    /// A list in place of a string, and a string in place of anything else.
    OtherType,
}

impl Redis {
    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        self.keys_like("*")
    }

    /// Waits until all keys have expired.
    #[track_caller]
    pub(crate) fn wait_for_no_keys(&self) {
        let left = || self.keys().len();
        for _ in 0..3000 {
            if left() == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{} keys are left", left());
    }

    fn keys_like(&self, pattern: &str) -> Vec<Vec<u8>> {
        let found = self.command(&["KEYS", pattern]);
        assert!(matches!(found, Reply::List(_)), "{found:?}");
        let mut keys: Vec<_> = found.items().iter().map(Reply::bytes).collect();
        keys.sort();
        keys
    }

    /// Every key with its strings: its value, its items, or its fields and their values in turn.
    pub(crate) fn dump(&self) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
        let keys = self.keys().into_iter();
        keys.map(|key| {
            let value = self.read(&key);
            (key, value.leaves())
        })
        .collect()
    }

    fn kind(&self, key: &[u8]) -> String {
        self.command(&[b"TYPE", key]).text()
    }

    fn read(&self, key: &[u8]) -> Reply {
        match self.kind(key).as_str() {
            "string" => self.command(&[b"GET", key]),
            "hash" => self.command(&[b"HGETALL", key]),
            "list" => self.command(&[b"LRANGE", key, b"0", b"-1"]),
            "set" => self.command(&[b"SMEMBERS", key]),
            "zset" => self.command(&[&b"ZRANGE"[..], key, b"0", b"-1", b"WITHSCORES"]),
            "stream" => self.command(&[b"XRANGE", key, b"-", b"+"]),
            _ => Reply::Nil, // expired meanwhile
        }
    }

    /// Writes a million bytes more than `maxmemory` allows, so that memory which connections release leaves the server full. One
    /// that evicts accepts ten times `maxmemory`, after which hardly any earlier key is left. Returns whether it is full.
    pub(crate) fn fill(&self) -> bool {
        const PIECE: usize = 16 * 1024;
        const MORE: usize = 1_000_000;
        let limit = self.command(&["CONFIG", "GET", "maxmemory"]).items();
        let limit: usize = limit[1].text().parse().expect("a number");
        assert!(limit > 0, "the server has a maxmemory");
        let set = |limit: usize| {
            let reply = self.command(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
            assert_eq!(reply, Reply::Text("OK".to_owned()));
        };
        set(limit + MORE);
        let mut client = self.client(PATIENCE).expect("the server answers");
        let piece = vec![b'.'; PIECE];
        let is_full = (0..10 * (limit + MORE) / PIECE).any(|number| {
            let key = format!("fill:{number}").into_bytes();
            let reply = client.command(&[b"SET", key.as_slice(), &piece]);
            reply.expect("the server answers").is_error("OOM")
        });
        set(limit);
        is_full
    }

    /// Replaces the values of all keys that match the pattern, and keeps their expiry. Returns the number of keys.
    pub(crate) fn garbage(&self, pattern: &str, by: Garbage) -> usize {
        let keys = self.keys_like(pattern);
        for key in &keys {
            self.spoil(key, by);
        }
        keys.len()
    }

    fn spoil(&self, key: &[u8], by: Garbage) {
        let (kind, old) = (self.kind(key), self.read(key).leaves());
        if old.is_empty() || kind == "none" {
            return; // expired meanwhile
        }
        let milliseconds = self.command(&[b"PTTL", key]).text();
        let mut client = self.client(PATIENCE).expect("the server answers");
        let mut command = |words: &[&[u8]]| {
            let reply = client.command(words).expect("the server answers");
            assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        };
        command(&[b"MULTI"]);
        command(&[b"DEL", key]);
        match (by, kind.as_str()) {
            (Garbage::OtherType, "string") => command(&[b"RPUSH", key, &unlike(&[0; 20])]),
            (Garbage::OtherType, _) => command(&[b"SET", key, &unlike(&[0; 20])]),
            (Garbage::SameType, "string") => command(&[b"SET", key, &unlike(&old[0])]),
            (Garbage::SameType, "hash") => {
                for pair in old.chunks(2) {
                    command(&[b"HSET", key, &pair[0], &unlike(&pair[1])]);
                }
            }
            (Garbage::SameType, "list") => {
                for item in &old {
                    command(&[b"RPUSH", key, &unlike(item)]);
                }
            }
            (Garbage::SameType, "set") => {
                for member in &old {
                    command(&[b"SADD", key, &unlike(member)]);
                }
            }
            (Garbage::SameType, "zset") => {
                for pair in old.chunks(2) {
                    command(&[b"ZADD", key, &pair[1], &unlike(&pair[0])]);
                }
            }
            (Garbage::SameType, _) => command(&[b"XADD", key, b"*", b"field", &unlike(&[0; 20])]),
        }
        if !milliseconds.starts_with('-') {
            command(&[b"PEXPIRE", key, milliseconds.as_bytes()]);
        }
        command(&[b"EXEC"]);
    }
}

/// Other bytes of that length, or one byte in place of none.
fn unlike(old: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; old.len().max(1)];
    loop {
        SysRng
            .try_fill_bytes(&mut bytes)
            .expect("the system has entropy");
        if bytes != old {
            return bytes;
        }
    }
}
