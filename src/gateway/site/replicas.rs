//! The counts and promotions of all gates that share a store in Redis.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Serialize, de::DeserializeOwned};

use super::ratchet::{Promoted, Promotions};
use crate::oauth::Digest;
use crate::store::seats::{Count, Gate, SEATS, Seats, Written};
use crate::store::{StoreError, random};
use crate::telemetry::tally::{Name, Row, Tally};

/// Where this gate's counts are in Redis.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    taken: Mutex<Option<Taken>>,
    /// What this gate identifies itself by, once it has asked for a seat. It stays the same: a seat whose taking was not answered is
    /// still its own.
    gate: Mutex<Option<Gate>>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    number: u8,
    gate: Gate,
    /// Rows that did not change since then are written, in seconds since 1970; 0: none is.
    written: u64,
}

impl Gates {
    /// Whether no counts are missing.
    pub(crate) fn are_complete(self) -> bool {
        matches!(self, Self::All { unreadable: 0, .. })
    }
}

impl Seat {
    fn taken(&self) -> MutexGuard<'_, Option<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self) -> Result<Gate, StoreError> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        match *gate {
            Some(known) => Ok(known),
            None => Ok(*gate.insert(random()?)),
        }
    }

    /// Makes the gate write all rows again with the next ones: another key may seal them by now, and Redis may have lost some.
    pub(crate) fn begin_again(&self) {
        if let Some(taken) = &mut *self.taken() {
            taken.written = 0;
        }
    }

    fn number(&self) -> Option<u8> {
        self.taken().map(|taken| taken.number)
    }
}

/// What all gates counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) rows: Vec<(Name, Row)>,
    /// `None`: no store is shared, so these are the counts of this gate.
    pub(crate) gates: Option<Gates>,
}

/// Whose counts these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gates {
    /// This gate's and those of so many other seats. `unreadable`: counts of other gates that were sealed with a key that this one does
    /// not have, or for another public URL.
    All { others: usize, unreadable: usize },
    /// This gate's alone: Redis does not answer.
    This,
}

/// The counts and promotions of this gate, and those of all others.
pub(super) struct Replica<'s> {
    pub(super) seats: Seats<'s>,
    pub(super) seat: &'s Seat,
    pub(super) tally: &'s Tally,
    pub(super) promotions: &'s Promotions,
}

impl Replica<'_> {
    /// Writes what this gate has counted since the last time, and the promotions that it made, and adds the promotions of others, also
    /// if nothing can be written. `now`: seconds since 1970.
    pub(super) async fn share(&self, now: u64) -> Result<(), StoreError> {
        let written = self.share_counts(now).await;
        self.share_promotions().await?;
        written
    }

    async fn share_counts(&self, now: u64) -> Result<(), StoreError> {
        if self.write(now).await? {
            return Ok(());
        }
        if self.is_followed().await? {
            self.tally.clear();
        }
        *self.seat.taken() = None;
        self.write(now).await.map(drop)
    }

    /// Whether the gate that has the seat of this one went on from its counts. If Redis had lost them, it did not.
    async fn is_followed(&self) -> Result<bool, StoreError> {
        let Some(number) = self.seat.number() else {
            return Ok(false);
        };
        let own = self.tally.rows().into_iter();
        let own: HashMap<Name, u64> = own.map(|(name, row)| (name, row.first_seen)).collect();
        let mut theirs = read::<(Name, Row)>(self.seats.read(number).await?.texts);
        Ok(theirs.any(|(name, row)| {
            let first = own.get(&name).copied().unwrap_or_default();
            (1..=first).contains(&row.first_seen)
        }))
    }

    /// Writes the rows with new requests. Returns `false` if the seat was lost.
    async fn write(&self, now: u64) -> Result<bool, StoreError> {
        let known = *self.seat.taken();
        let Some(mut taken) = (match known {
            Some(taken) => Some(taken),
            None => self.take().await?,
        }) else {
            return Ok(true); // all seats are taken
        };
        loop {
            let rows = self.tally.rows();
            // Those of an earlier process are in the seat already, or in none. Patterns of paths have no time, and are few.
            let is_new = |(name, row): &&(Name, Row)| {
                matches!(name, Name::Route(_))
                    || if taken.written == 0 {
                        *row != Row::default()
                    } else {
                        row.changed >= taken.written
                    }
            };
            let rows = rows.iter().filter(is_new);
            let counts: Vec<Count> = rows.filter_map(|row| count(&row.0, row)).collect();
            match self.seats.write(taken.number, &taken.gate, &counts).await? {
                Written::NotOurs => return Ok(false),
                Written::Alone if taken.written > 0 => taken.written = 0,
                Written::Done | Written::Alone => break,
            }
        }
        taken.written = now;
        *self.seat.taken() = Some(taken);
        Ok(true)
    }

    /// Takes the first free seat, and goes on from its counts.
    async fn take(&self) -> Result<Option<Taken>, StoreError> {
        let gate = self.seat.gate()?;
        for number in 0..SEATS {
            if self.seats.take(number, &gate).await? {
                self.tally
                    .restore(read(self.seats.read(number).await?.texts));
                let taken = Taken {
                    number,
                    gate,
                    written: 0,
                };
                *self.seat.taken() = Some(taken);
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    async fn share_promotions(&self) -> Result<(), StoreError> {
        let theirs: Promoted = read(self.seats.shared().await?).collect();
        let mut ours = self.promotions.get();
        ours.retain(|client, promotion| {
            let known = theirs.get(client);
            let is_news = known.is_none_or(|known| known.downgraded < promotion.downgraded);
            promotion.is_enforced && is_news
        });
        self.promotions.add(theirs);
        let ours = ours.iter().filter_map(|of| count(of.0, &of));
        self.seats.share(&ours.collect::<Vec<_>>()).await
    }

    /// Gives the seat to the next gate.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        let taken = self.seat.taken().take();
        match taken {
            Some(taken) => self.seats.leave(taken.number, &taken.gate).await,
            None => Ok(()),
        }
    }

    /// The rows of all gates. `most`: of single clients and origins; others are added together.
    pub(super) async fn counted(&self, most: usize) -> Counted {
        let own = self.tally.rows();
        let mut sum = Sum {
            most: most.max(own.len()),
            rows: own.into_iter().collect(),
        };
        match self.add_others(&mut sum).await {
            Ok(gates) => Counted {
                gates: Some(gates),
                rows: sum.rows.into_iter().collect(),
            },
            Err(_) => Counted {
                gates: Some(Gates::This),
                rows: self.tally.rows(),
            },
        }
    }

    async fn add_others(&self, sum: &mut Sum) -> Result<Gates, StoreError> {
        let own = self.seat.number();
        let (mut others, mut unreadable) = (0, 0);
        for seat in self.seats.used().await? {
            if Some(seat) != own {
                let found = self.seats.read(seat).await?;
                unreadable += found.unreadable;
                others += usize::from(!found.texts.is_empty());
                sum.add(read(found.texts));
            }
        }
        Ok(Gates::All { others, unreadable })
    }
}

/// What is written about a client.
fn count(of: &impl Serialize, what: &impl Serialize) -> Option<Count> {
    let name = serde_json::to_string(of).ok()?;
    let text = serde_json::to_string(what).ok()?;
    Some((Digest::of("count", &[name.as_bytes()]), text))
}

/// Texts that this program wrote. One of another version is left out.
fn read<T: DeserializeOwned>(texts: Vec<String>) -> impl Iterator<Item = T> {
    let texts = texts.into_iter();
    texts.filter_map(|text| serde_json::from_str(&text).ok())
}

/// The rows of several gates, by name.
struct Sum {
    /// The most rows of single clients and origins.
    most: usize,
    rows: HashMap<Name, Row>,
}

impl Sum {
    fn add(&mut self, rows: impl Iterator<Item = (Name, Row)>) {
        for (name, row) in rows {
            let is_full = self.rows.len() >= self.most && !self.rows.contains_key(&name);
            // Of the other names, each gate has a few.
            let is_bounded = matches!(name, Name::Client(_) | Name::Origin(_));
            let name = if is_full && is_bounded {
                Name::Others
            } else {
                name
            };
            self.rows.entry(name).or_default().merge(&row);
        }
    }
}

#[cfg(test)]
mod tests;
