//! Reading the file again while running (`--encryption-provider-config-automatic-reload` of kube-apiserver).

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orc_core::env::Clock;
use zeroize::Zeroizing;

use super::{EncryptedBackend, EncryptionConfig};

/// How often the file is looked at, as upstream.
pub const EVERY: Duration = Duration::from_secs(60);

/// A file as it was when it was last looked at.
#[derive(PartialEq, Eq)]
enum Seen {
    /// Its hash, so that no key stays in memory beside those in use.
    Text(u64),
    Unreadable(String),
}

impl EncryptedBackend {
    /// Puts another configuration in force: from now on, first providers write and all of them read. Values stay as they were
    /// written, so providers that may still be needed must be listed.
    pub fn replace(&self, config: EncryptionConfig) {
        self.config.store(Arc::new(config));
    }

    /// Why the file that is followed is not in force: the text of a mistake in it. `None` when it is, or none is followed.
    pub fn stale(&self) -> Option<String> {
        self.stale.lock().clone()
    }

    /// Looks at the file again and again, and puts it in force when it has changed. What was in force stays where the file does
    /// not read. Ends only when it is dropped. The first look is at once and puts the file in force as well: it may have changed since
    /// it was read to make this backend.
    pub async fn follow(&self, path: PathBuf, clock: Clock, every: Duration) {
        let mut seen = None;
        loop {
            let (now, text) = look(&path).await;
            if seen.as_ref() != Some(&now) {
                self.take(&path, &now, text);
                seen = Some(now);
            }
            clock.sleep(every).await;
        }
    }

    fn take(&self, path: &Path, now: &Seen, text: Zeroizing<String>) {
        let read = match now {
            Seen::Unreadable(why) => Err(why.clone()),
            Seen::Text(_) => EncryptionConfig::parse(&text).map_err(|error| error.to_string()),
        };
        let path = path.display();
        *self.stale.lock() = match read {
            Ok(config) => {
                self.replace(config);
                tracing::info!(%path, "the encryption configuration was read");
                None
            }
            Err(why) => {
                tracing::error!(%path, why, "the encryption configuration has changed and cannot be used; the old one stays in force");
                Some(why)
            }
        };
    }
}

/// What the file holds now. Read in a thread of its own: a folder that is mounted may hang.
async fn look(path: &Path) -> (Seen, Zeroizing<String>) {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path).map(Zeroizing::new)).await;
    match read {
        Ok(Ok(text)) => {
            let mut hash = DefaultHasher::new();
            text.hash(&mut hash);
            (Seen::Text(hash.finish()), text)
        }
        Ok(Err(error)) => (Seen::Unreadable(error.to_string()), Zeroizing::default()),
        Err(error) => (Seen::Unreadable(error.to_string()), Zeroizing::default()),
    }
}
