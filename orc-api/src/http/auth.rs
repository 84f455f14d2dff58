//! Who sends a request.

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap};
use orc_core::ApiError;

use super::service::ApiService;
use crate::identity::Identity;

/// The scheme of a bearer token in the `Authorization` header.
const BEARER: &str = "Bearer ";

impl ApiService {
    /// The identity of a request: that of the extension (in-process callers and verified client certificates), else of the
    /// bearer token, else nobody in particular.
    ///
    /// # Errors
    /// 401 for a token that proves nothing.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Identity, ApiError> {
        if let Some(identity) = extensions.get::<Identity>() {
            return Ok(identity.clone());
        }
        let Some(header) = headers.get(AUTHORIZATION) else { return Ok(Identity::anonymous()) };
        // Other schemes are not ours to judge: they prove nothing, and so nobody is nobody.
        let token = header.to_str().ok().and_then(|text| text.strip_prefix(BEARER)).map(str::trim);
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(Identity::anonymous()) };
        for authenticator in &self.config().tokens {
            if let Some(identity) = authenticator.authenticate(token).await {
                return Ok(identity);
            }
        }
        Err(ApiError::unauthorized())
    }
}
