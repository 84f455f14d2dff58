//! What the loop of token secrets asks of the API: the key that signs.

use std::sync::Arc;

use orc_api::identity::legacy::LegacyClaims;
use orc_api::identity::service_account::Signer;
use orc_reconcile::controllers::{AccountToken, TokenSigner};

/// Signs with the cluster's key.
pub struct SecretTokens(pub Arc<Signer>);

impl TokenSigner for SecretTokens {
    fn sign(&self, token: &AccountToken<'_>) -> Result<String, String> {
        let claims = LegacyClaims::new(token.namespace, token.secret, token.account, token.uid);
        self.0.sign_legacy(&claims).map_err(|error| error.to_string())
    }
}
