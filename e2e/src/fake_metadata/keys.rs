//! The keys with which the fake Google signs what an instance says of itself, and
//! their public halves as Google publishes them.

use std::sync::{Arc, LazyLock, Mutex};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rsa::{
    RsaPrivateKey, pkcs1::EncodeRsaPrivateKey as _, rand_core::OsRng, traits::PublicKeyParts as _,
};
use serde_json::{Value, json};

struct Key {
    id: String,
    signs: EncodingKey,
    public: Value,
}

/// RSA keys, the newest last; made when first used.
#[derive(Default)]
pub struct Keys(Mutex<Vec<Key>>);

impl Keys {
    /// Those of this process's Google.
    pub fn google() -> Arc<Self> {
        static GOOGLE: LazyLock<Arc<Keys>> = LazyLock::new(Arc::default);
        GOOGLE.clone()
    }

    /// Signs with a new key from now on; the old ones stay published.
    pub fn rotate(&self) {
        self.0.lock().unwrap().push(Key::make());
    }

    /// `https://www.googleapis.com/oauth2/v3/certs`.
    pub fn published(&self) -> Value {
        let mut keys = self.0.lock().unwrap();
        if keys.is_empty() {
            keys.push(Key::make());
        }
        json!({"keys": keys.iter().map(|key| &key.public).collect::<Vec<_>>()})
    }

    /// A JWT with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let mut keys = self.0.lock().unwrap();
        if keys.is_empty() {
            keys.push(Key::make());
        }
        let key = keys.last().expect("at least one");
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(key.id.clone());
        encode(&header, claims, &key.signs).unwrap()
    }
}

impl Key {
    fn make() -> Self {
        let private = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let n = URL_SAFE_NO_PAD.encode(private.n().to_bytes_be());
        let e = URL_SAFE_NO_PAD.encode(private.e().to_bytes_be());
        let id = n[..20].to_owned();
        let public = json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": id, "n": n, "e": e});
        let der = private.to_pkcs1_der().unwrap();
        Self {
            id,
            signs: EncodingKey::from_rsa_der(der.as_bytes()),
            public,
        }
    }
}
