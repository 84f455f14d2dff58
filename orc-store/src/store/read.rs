//! Reads: one object, and lists in pages that show one revision.

use std::ops::Bound;
use std::sync::Arc;

use orc_core::error::{Cause, Details};
use orc_core::{ApiError, ObjectKey, Revision};

use super::Store;
use super::core::{Pin, Resource};
use super::place::{Place, behind, raw_text};
use super::shard::Objects;
use crate::client::{Continue, Freshness, ListOptions, Listing, Scope, Selection};
use crate::stored::Stored;

/// What Kubernetes says when a continue token is too old.
const STALE_CONTINUE: &str = "The provided continue parameter is too old to display a consistent list result. \
    You can start a new list without the continue parameter, or use the continue token in this response to retrieve the \
    remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were \
    created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

impl Store {
    /// The object as the replica shows it now, without waiting for anything.
    pub fn peek(&self, key: &ObjectKey) -> Option<Arc<Stored>> {
        self.core.resource(&key.resource).shard.read().objects.get(&Place::of(key)).cloned()
    }

    /// Reads an object; `None` when there is none.
    ///
    /// # Errors
    /// `Timeout` for a revision that does not come in time, `Expired` for an exact one that is no longer kept.
    pub async fn get(&self, key: &ObjectKey, freshness: Freshness) -> Result<Option<Arc<Stored>>, ApiError> {
        self.freshen(freshness).await?;
        let Freshness::Exact(at) = freshness else { return Ok(self.peek(key)) };
        let resource = self.core.resource(&key.resource);
        let found = resource.shard.read().object_at(&Place::of(key), at);
        found.ok_or_else(list_too_old)
    }

    /// Reads an object from the replica, and once more at the latest revision where the replica has none: what was made
    /// through another server a moment ago is found, and what is there costs nothing.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn find(&self, key: &ObjectKey) -> Result<Option<Arc<Stored>>, ApiError> {
        match self.peek(key) {
            None => self.get(key, Freshness::Latest).await,
            found => Ok(found),
        }
    }

    /// Reads an object that should be there.
    ///
    /// # Errors
    /// As [`Store::get`], and `NotFound`.
    pub async fn require(&self, key: &ObjectKey, freshness: Freshness) -> Result<Arc<Stored>, ApiError> {
        self.get(key, freshness).await?.ok_or_else(|| not_found(key))
    }

    /// Reads a page of a list.
    ///
    /// A continue token with revision 0 goes on in the present state: what a client gets after `Expired`.
    ///
    /// # Errors
    /// As [`Store::get`]; `BadRequest` for a token that no list gave.
    pub async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError> {
        let resource = self.core.resource(&scope.resource);
        let (start, objects, revision) = match &options.next {
            Some(next) => {
                let start = behind(&next.after).ok_or_else(|| ApiError::bad_request("continue key is not valid"))?;
                let (objects, revision) = self.go_on(&resource, next.at).await?;
                (start, objects, revision)
            }
            None => {
                self.freshen(options.freshness).await?;
                let (objects, revision) = self.snapshot(&resource, options.freshness)?;
                (Place::start_of(scope), objects, revision)
            }
        };
        let listing = page(scope, options, start, &objects, revision);
        if listing.next.is_some() {
            self.pin(&resource, revision, objects);
        }
        Ok(listing)
    }

    /// How many objects a resource has.
    pub fn count(&self, resource: &orc_core::ResourceId) -> usize {
        self.core.resource(resource).shard.read().objects.len()
    }

    /// The resources that have objects.
    pub fn resources(&self) -> Vec<orc_core::ResourceId> {
        let known = self.core.known().into_iter();
        known.filter(|(_, resource)| !resource.shard.read().objects.is_empty()).map(|(id, _)| id).collect()
    }

    /// Waits until the replica is as fresh as asked.
    pub(crate) async fn freshen(&self, freshness: Freshness) -> Result<(), ApiError> {
        match freshness {
            Freshness::Any => Ok(()),
            Freshness::AtLeast(at) | Freshness::Exact(at) => self.wait_for(at, self.core.config.future_wait).await,
            Freshness::Latest => {
                let bounds = self.backend.bounds().await.map_err(super::backend_error)?;
                self.wait_for(bounds.current, self.core.config.future_wait).await
            }
        }
    }

    /// The present objects, or those of an exact revision, and the revision that they show.
    fn snapshot(&self, resource: &Resource, freshness: Freshness) -> Result<(Objects, Revision), ApiError> {
        // Read before the shard: everything up to it is in the shard.
        let applied = self.core.applied.get();
        let shard = resource.shard.read();
        match freshness {
            Freshness::Exact(at) => Ok((shard.at(at).ok_or_else(list_too_old)?, at)),
            _ => Ok((shard.objects.clone(), applied.max(shard.last))),
        }
    }

    async fn go_on(&self, resource: &Resource, at: Revision) -> Result<(Objects, Revision), ApiError> {
        if at == Revision::ZERO {
            self.freshen(Freshness::Latest).await?;
            return self.snapshot(resource, Freshness::Any);
        }
        self.freshen(Freshness::Exact(at)).await?;
        let pinned = resource.pins.lock().iter().find(|pin| pin.at == at).map(|pin| pin.objects.clone());
        let objects = match pinned {
            Some(objects) => objects,
            None => resource.shard.read().at(at).ok_or_else(|| ApiError::expired(STALE_CONTINUE))?,
        };
        Ok((objects, at))
    }

    /// Keeps a snapshot for the next page, beyond the history.
    fn pin(&self, resource: &Resource, at: Revision, objects: Objects) {
        let now = self.clock.now();
        let until = now.checked_add(self.core.config.pinned_for).unwrap_or(now);
        let mut pins = resource.pins.lock();
        pins.retain(|pin| pin.at != at && pin.until > now);
        while pins.len() >= self.core.config.pinned_pages.max(1) {
            pins.pop_front();
        }
        pins.push_back(Pin { at, until, objects });
    }
}

fn page(scope: &Scope, options: &ListOptions, start: Bound<Place>, objects: &Objects, revision: Revision) -> Listing {
    let limit = options.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut listing = Listing { revision, ..Listing::default() };
    if let Some(place) = single(scope, &options.select) {
        let found = objects.get(&place).filter(|stored| options.select.matches(stored) && options.next.is_none());
        listing.items.extend(found.cloned());
        return listing;
    }
    let inside = objects.range((start, Bound::Unbounded)).take_while(|(place, _)| place.is_in(scope));
    let everything = options.select.is_everything();
    let mut found = inside.map(|(_, stored)| stored).filter(|stored| everything || options.select.matches(stored));
    listing.items.extend(found.by_ref().take(limit).cloned());
    if listing.items.len() == limit && found.next().is_some() {
        let after = listing.items.last().map(|last| raw_text(&last.key)).unwrap_or_default();
        listing.next = Some(Continue { at: revision, after });
        listing.remaining = everything.then(|| found.count() as u64 + 1);
    }
    listing
}

/// The one object that a selection by name can take.
pub(super) fn single(scope: &Scope, select: &Selection) -> Option<Place> {
    let name = select.fields.exact("metadata.name")?;
    let namespace = match (&scope.namespace, select.fields.exact("metadata.namespace")) {
        (Some(namespace), _) => Some(namespace.clone()),
        (None, Some(namespace)) if !namespace.is_empty() => Some(namespace.into()),
        _ => return None,
    };
    Some(Place { namespace, name: name.into() })
}

/// `NotFound` for a key.
pub(crate) fn not_found(key: &ObjectKey) -> ApiError {
    ApiError::not_found(key.resource.group(), key.resource.plural(), &key.name)
}

fn list_too_old() -> ApiError {
    ApiError::expired("The resourceVersion for the provided list is too old.")
}

/// What Kubernetes says of a revision that is still to come.
pub(crate) fn too_large(asked: Revision, current: Revision) -> ApiError {
    let cause = Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        ..Cause::default()
    };
    ApiError::timeout(format!("Timeout: Too large resource version: {asked}, current: {current}"))
        .with_details(Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() })
}
