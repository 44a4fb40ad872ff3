//! The file in which the counts survive a restart (`[review] snapshot`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::gateway::site::ratchet::Promoted;
use crate::telemetry::tally::{Name, Row};

/// The most bytes of such a file: twice what the largest number of rows takes.
const MOST: u64 = 1024 * 1024 * 1024;

/// The rows and promotions of each upstream, by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// Of this form.
    version: u32,
    upstreams: BTreeMap<String, Vec<(Name, Row)>>,
    /// The promotions of each upstream.
    #[serde(default)]
    promotions: BTreeMap<String, Promoted>,
}

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

/// What the file of every version begins with.
#[derive(Deserialize)]
struct Form {
    version: u32,
}

/// The name of an upstream, its rows and its promotions.
pub(crate) type OfUpstream = (String, Vec<(Name, Row)>, Promoted);

/// Version 1 had no promotions. A program that knows that one alone would lose them.
const VERSION: u32 = 2;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not a snapshot of the review: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has version {0}, and this pkce-gate writes version {VERSION}")]
    Version(u32),
}

impl Stored {
    /// Adds the rows and promotions of these upstreams.
    pub(crate) fn with(mut self, upstreams: impl IntoIterator<Item = OfUpstream>) -> Self {
        self.version = VERSION;
        for (name, rows, promotions) in upstreams {
            self.promotions.insert(name.clone(), promotions);
            self.upstreams.insert(name, rows);
        }
        self
    }

    /// Reads a file. One that does not exist has no rows.
    pub(crate) fn read(path: &Path) -> Result<Self, Unreadable> {
        let bytes = match files::read_up_to(path, MOST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        // First: another version may have another form.
        let Form { version } = serde_json::from_slice(&bytes)?;
        if !(1..=VERSION).contains(&version) {
            return Err(Unreadable::Version(version));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Replaces the file at once: a crash leaves the old one, or the new one. Not to be called twice at the same time.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = Path::new(&beside);
        // In parts: there may be a hundred megabytes.
        let mut file = BufWriter::new(File::create(beside)?);
        serde_json::to_writer(&mut file, self)?;
        file.into_inner()?.sync_all()?;
        fs::rename(beside, path)?;
        File::open(folder(path))?.sync_all()
    }

    /// The rows and promotions of an upstream. The promotions stay here, too: what is written before the upstream has them must not
    /// lack them.
    pub(crate) fn take(&mut self, upstream: &str) -> (Vec<(Name, Row)>, Promoted) {
        let rows = self.upstreams.remove(upstream).unwrap_or_default();
        let promotions = self.promotions.get(upstream).cloned();
        (rows, promotions.unwrap_or_default())
    }
}
