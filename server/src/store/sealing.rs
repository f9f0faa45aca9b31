//! Seals what must not be read from a copy of the database alone.
//!
//! Way: a secret -> XChaCha20-Poly1305 under the master key, bound to what it
//! is -> bytes in a row, and back. The key is a file beside the database (0600);
//! who loses it loses every workshop's CA.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::{TryRngCore, rngs::OsRng};
use sea_orm::{ActiveValue::Set, EntityTrait};
use zeroize::Zeroizing;

use super::{Store, StoreError, entity::setting, postgres};

/// Bytes of the nonce before every sealed secret.
const NONCE: usize = 24;

/// The key everything is sealed under.
pub struct MasterKey(XChaCha20Poly1305);

/// What can go wrong with sealed secrets and files of secrets.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file could not be read or made.
    #[error("could not use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Others may read the file.
    #[error("{path} can be read by others (mode {mode:03o}): run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold a key.
    #[error("{path} does not hold a key of 32 bytes in hex")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// What was sealed does not open: another key, or damaged bytes.
    #[error("the sealed {0} does not open: is master.key the one that belongs to this database?")]
    WrongKey(&'static str),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
}

impl SealError {
    /// Another process that makes the same file was quicker: its content counts.
    pub(super) fn unless_there(self) -> Result<(), Self> {
        match self {
            Self::File { cause, .. } if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => Err(other),
        }
    }
}

/// `N` bytes of the system's secure source.
pub fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| SealError::NoRandomness)?;
    Ok(bytes)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    let text = text.trim().as_bytes();
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Reads a file of a secret, which nobody else may be able to read.
pub fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, SealError> {
    let file = |cause| SealError::File {
        path: path.to_owned(),
        cause,
    };
    let mode = fs::metadata(path).map_err(file)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SealError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    fs::read_to_string(path).map(Zeroizing::new).map_err(file)
}

/// Makes a file of a secret (0600), whole or not at all. An existing one is
/// left alone and is an error.
pub fn write_secret_file(path: &Path, secret: &str) -> Result<(), SealError> {
    let file = |cause| SealError::File {
        path: path.to_owned(),
        cause,
    };
    // Of this writer alone: two control planes may begin at once in one folder, each process 1
    // of a container.
    let half = path.with_extension(format!("{}.new", hex(&random::<8>()?)));
    let write = || {
        let mut out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&half)?;
        out.write_all(secret.as_bytes())?;
        out.sync_all()?;
        fs::hard_link(&half, path)
    };
    let written = write();
    let _ = fs::remove_file(&half);
    written.map_err(file)
}

/// Makes an empty file that only its owner may read, unless there is one.
/// SQLite gives its log the same mode.
pub(super) fn make_private(path: &Path) -> Result<(), SealError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|cause| SealError::File {
            path: path.to_owned(),
            cause,
        })
}

impl MasterKey {
    /// The key in the file at `path`; a fresh one if there is no such file.
    pub fn load_or_make(path: &Path) -> Result<Self, SealError> {
        if !path.exists() {
            let fresh = Zeroizing::new(random::<32>()?);
            let made = write_secret_file(path, &format!("{}\n", hex(&*fresh)));
            made.or_else(SealError::unless_there)?;
        }
        let text = read_secret_file(path)?;
        let bytes = unhex(&text).ok_or_else(|| SealError::NoKey {
            path: path.to_owned(),
        })?;
        Ok(Self(XChaCha20Poly1305::new((&*bytes).into())))
    }

    /// Seals `secret`, which is a `what` of `whose`: it opens as nothing else.
    pub fn seal(
        &self,
        what: &'static str,
        whose: &str,
        secret: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let nonce = random::<NONCE>()?;
        let aad = format!("{what}\0{whose}");
        let payload = Payload {
            msg: secret,
            aad: aad.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| SealError::WrongKey(what))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what was sealed as a `what` of `whose`.
    pub fn open(
        &self,
        what: &'static str,
        whose: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, sealed) = sealed
            .split_at_checked(NONCE)
            .ok_or(SealError::WrongKey(what))?;
        let aad = format!("{what}\0{whose}");
        let payload = Payload {
            msg: sealed,
            aad: aad.as_bytes(),
        };
        self.0
            .decrypt(XNonce::from_slice(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| SealError::WrongKey(what))
    }

    /// [`MasterKey::open`] for text.
    pub fn open_text(
        &self,
        what: &'static str,
        whose: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, SealError> {
        let bytes = self.open(what, whose, sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| SealError::WrongKey(what))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

const KEY_CHECK: &str = "master-key check";

impl Store {
    /// Stops the start with another key than the database was made with,
    /// before anything is sealed under it.
    pub(super) async fn check_key(&self) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        postgres::alone(&txn, postgres::FIRST_ROWS).await?;
        let kept = setting::Entity::find_by_id(KEY_CHECK).one(&*txn).await?;
        if let Some(row) = kept {
            self.key.open(KEY_CHECK, "", &row.value)?;
        } else {
            let row = setting::ActiveModel {
                name: Set(KEY_CHECK.to_owned()),
                value: Set(self.key.seal(KEY_CHECK, "", b"right")?),
            };
            setting::Entity::insert(row)
                .exec_without_returning(&*txn)
                .await?;
        }
        txn.commit().await
    }

    /// What all control planes of this database go by: `mine`, if none has said so before.
    pub async fn agreed(&self, name: &str, mine: &str) -> Result<String, StoreError> {
        let txn = self.begin_write().await?;
        postgres::alone(&txn, postgres::FIRST_ROWS).await?;
        if let Some(row) = setting::Entity::find_by_id(name).one(&*txn).await? {
            return String::from_utf8(row.value).map_err(|cause| StoreError::bad("setting", cause));
        }
        let row = setting::ActiveModel {
            name: Set(name.to_owned()),
            value: Set(mine.as_bytes().to_vec()),
        };
        setting::Entity::insert(row)
            .exec_without_returning(&*txn)
            .await?;
        txn.commit().await?;
        Ok(mine.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_only_as_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let key = MasterKey::load_or_make(&path).unwrap();
        let again = MasterKey::load_or_make(&path).unwrap();
        let sealed = key.seal("ca key", "ws-1", b"secret").unwrap();
        assert_eq!(&**again.open("ca key", "ws-1", &sealed).unwrap(), b"secret");
        assert!(key.open("ca key", "ws-2", &sealed).is_err());
        assert!(key.open("env", "ws-1", &sealed).is_err());
        assert!(key.open("ca key", "ws-1", &sealed[..20]).is_err());
        let other = MasterKey::load_or_make(&dir.path().join("other.key")).unwrap();
        assert!(other.open("ca key", "ws-1", &sealed).is_err());
        assert_ne!(key.seal("ca key", "ws-1", b"secret").unwrap(), sealed);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::load_or_make(&path).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for exposed in [0o640, 0o604, 0o644] {
            mode(exposed);
            let refused = MasterKey::load_or_make(&path).err().unwrap().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        mode(0o600);
        fs::write(&path, "not a key").unwrap();
        assert!(MasterKey::load_or_make(&path).is_err());
    }
}
