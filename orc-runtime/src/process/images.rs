//! Images of the process runtime: the one called `host`.

use async_trait::async_trait;

use super::ProcessRuntime;
use crate::runtime::{ImageError, ImageErrorReason, ImageStatus, Images};

/// The image that stands for the host's own file system.
pub const HOST_IMAGE: &str = "host";

/// Whether an image is there, and if not, what to do about it.
pub(crate) fn check(reference: &str) -> Result<ImageStatus, ImageError> {
    if reference == HOST_IMAGE {
        return Ok(ImageStatus { reference: reference.to_owned(), id: HOST_IMAGE.to_owned(), size_bytes: 0 });
    }
    Err(ImageError {
        reason: ImageErrorReason::ErrImagePull,
        message: format!(
            "image {reference:?} cannot be pulled: the process runtime runs programs that are installed on this \
             machine and has no images. Write `image: host` and name the program in `command`. (A runtime for \
             container images over the CRI is planned and not built yet.)"
        ),
    })
}

#[async_trait]
impl Images for ProcessRuntime {
    async fn image_status(&self, reference: &str) -> Result<Option<ImageStatus>, ImageError> {
        Ok(check(reference).ok())
    }

    async fn pull_image(&self, reference: &str) -> Result<ImageStatus, ImageError> {
        check(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_an_image() {
        assert!(check("host").is_ok());
        let error = check("nginx:1.27").unwrap_err();
        assert_eq!(error.reason.as_str(), "ErrImagePull");
        assert!(error.message.contains("image: host"), "{error}");
    }
}
