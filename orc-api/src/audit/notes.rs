//! Annotations that are found while a request is handled, such as by admission, on their way to its event.
//!
//! They travel beside the request, in its task: what is between the HTTP service and admission has no use for them. Writes
//! that come without a request (the server's own) gather nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;

tokio::task_local! {
    static NOTES: RefCell<BTreeMap<String, String>>;
}

/// Runs a future and returns what was noted meanwhile.
pub(crate) async fn gather<T>(handling: impl Future<Output = T>) -> (T, BTreeMap<String, String>) {
    let both = async {
        let done = handling.await;
        (done, NOTES.with(RefCell::take))
    };
    NOTES.scope(RefCell::default(), both).await
}

/// Notes annotations; the same key again takes the place of the first, as a write that lost a race is admitted anew.
pub(crate) fn note(annotations: &[(String, String)]) {
    if annotations.is_empty() {
        return;
    }
    // Outside of a request that is audited there is nobody to tell.
    let _ = NOTES.try_with(|notes| notes.borrow_mut().extend(annotations.iter().cloned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn notes_stay_with_their_request() {
        let pair = |value: &str| [("k".to_owned(), value.to_owned())];
        note(&pair("nobody hears"));
        let one = gather(async {
            note(&pair("a"));
            tokio::task::yield_now().await;
            note(&pair("b"));
        });
        let two = gather(async { tokio::task::yield_now().await });
        let ((_, one), (_, two)) = tokio::join!(one, two);
        assert_eq!((one.get("k").map(String::as_str), two.len()), (Some("b"), 0));
    }
}
