//! The search for devices on one node.
//!
//! As Kubernetes' allocator: claim by claim, request by request, device by device, in the order of pools, going back where a
//! later step finds nothing; the first solution is taken. Kubernetes ends a search by time; this one by steps, so that it
//! has the same outcome everywhere.

use std::cell::RefCell;
use std::collections::HashMap;

use k8s_openapi::api::resource::v1::{Device, DeviceAttribute, DeviceTaint, DeviceToleration};

use super::wanted::{Choice, MOST_DEVICES, Wanted};
use crate::facts::devices::Slice;
use crate::node::NodeInfo;

/// The place of a device: its slice among those of the node, and where it stands there.
pub(super) type Place = (usize, usize);

/// The most steps of a search; some hundredths of a second.
const MOST_STEPS: usize = 100_000;

/// Whether a choice's selectors choose a device of a slice, or what went wrong.
pub(super) type Matches = RefCell<HashMap<(usize, u64, usize), Result<bool, String>>>;

/// A device for a request of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Given {
    pub(super) request: usize,
    pub(super) choice: usize,
    pub(super) place: Place,
}

/// How far a search is.
#[derive(Clone, Copy)]
struct At {
    claim: usize,
    request: usize,
    /// Which choice of the request is tried.
    choice: usize,
    /// How many devices it has.
    have: usize,
}

impl At {
    fn start(claim: usize, request: usize) -> Self {
        Self { claim, request, choice: 0, have: 0 }
    }
}

struct Search<'a> {
    node: &'a NodeInfo,
    claims: &'a [Wanted],
    slices: &'a [&'a Slice],
    matches: &'a Matches,
    given: Vec<Vec<Given>>,
    steps: usize,
}

/// Devices for all claims on a node, by claim; `None` when there are not enough.
///
/// # Errors
/// Something is wrong with a claim, a class or a pool.
pub(super) fn allocate(
    node: &NodeInfo,
    claims: &[Wanted],
    slices: &[&Slice],
    matches: &Matches,
) -> Result<Option<Vec<Vec<Given>>>, String> {
    let given = vec![Vec::new(); claims.len()];
    let mut search = Search { node, claims, slices, matches, given, steps: 0 };
    if search.next(At::start(0, 0))? {
        return Ok(Some(search.given));
    }
    let invalid = slices.iter().any(|slice| !slice.valid);
    if invalid { Err("invalid resource pools were encountered".to_owned()) } else { Ok(None) }
}

impl Search<'_> {
    /// Finds everything from a request on.
    fn next(&mut self, at: At) -> Result<bool, String> {
        let Some(claim) = self.claims.get(at.claim) else { return Ok(true) };
        let Some(request) = claim.requests.get(at.request) else { return self.next(At::start(at.claim + 1, 0)) };
        for choice in 0..request.choices.len() {
            if self.devices(At { choice, ..at })? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn choice(&self, at: At) -> &Choice {
        &self.claims[at.claim].requests[at.request].choices[at.choice]
    }

    /// Finds the devices of a choice, and everything after it.
    fn devices(&mut self, at: At) -> Result<bool, String> {
        let choice = self.choice(at);
        let Some(count) = choice.count else { return self.all(at) };
        if at.have >= count {
            return self.next(At::start(at.claim, at.request + 1));
        }
        if self.given[at.claim].len() + (count - at.have) > MOST_DEVICES {
            return Ok(false);
        }
        for slice in 0..self.slices.len() {
            if !self.slices[slice].complete || !self.slices[slice].valid {
                continue;
            }
            for device in 0..self.slices[slice].devices().len() {
                if !self.usable(at, (slice, device))? || !self.agrees(at, (slice, device)) {
                    continue;
                }
                self.step()?;
                self.give(at, (slice, device));
                if self.devices(At { have: at.have + 1, ..at })? {
                    return Ok(true);
                }
                self.given[at.claim].pop();
            }
        }
        Ok(false)
    }

    /// Takes every device that a choice means, and finds everything after it.
    fn all(&mut self, at: At) -> Result<bool, String> {
        let wanted = self.all_places(at)?;
        let before = self.given[at.claim].len();
        let fits = !wanted.is_empty() && before + wanted.len() <= MOST_DEVICES;
        if !fits || wanted.iter().any(|place| !self.is_free(at, *place)) {
            return Ok(false);
        }
        for place in wanted {
            self.step()?;
            if !self.agrees(at, place) {
                return Err(self.disagreement(at, place));
            }
            self.give(at, place);
        }
        let done = self.next(At::start(at.claim, at.request + 1))?;
        if !done {
            self.given[at.claim].truncate(before);
        }
        Ok(done)
    }

    fn all_places(&self, at: At) -> Result<Vec<Place>, String> {
        let mut wanted = Vec::new();
        for (slice, from) in self.slices.iter().enumerate() {
            if !from.complete || !from.valid {
                let state = if from.complete { "invalid" } else { "being updated" };
                let (asks, pool) = (self.place_of(at), format!("{}/{}", from.driver(), from.pool()));
                return Err(format!("{asks}: asks for all devices, but resource pool {pool} is currently {state}"));
            }
            for device in 0..from.devices().len() {
                if self.chosen(at, (slice, device))? {
                    wanted.push((slice, device));
                }
            }
        }
        Ok(wanted)
    }

    fn place_of(&self, at: At) -> String {
        format!("claim {}, request {}", self.claims[at.claim].label, self.choice(at).name)
    }

    /// A claim that no devices can satisfy, as upstream says it.
    fn disagreement(&self, at: At, (slice, device): Place) -> String {
        let from = self.slices[slice];
        let id = format!("{}/{}/{}", from.driver(), from.pool(), from.devices()[device].name);
        let why = "because a claim constraint would not be satisfied";
        format!("{}: cannot add device {id} {why}", self.place_of(at))
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MOST_STEPS { Err("timed out trying to allocate devices".to_owned()) } else { Ok(()) }
    }

    fn give(&mut self, at: At, place: Place) {
        self.given[at.claim].push(Given { request: at.request, choice: at.choice, place });
    }

    fn usable(&self, at: At, place: Place) -> Result<bool, String> {
        Ok(self.is_free(at, place) && self.chosen(at, place)?)
    }

    /// Whether nobody has the device; who only looks does not ask, but wants it once in a claim.
    fn is_free(&self, at: At, place: Place) -> bool {
        let slice = self.slices[place.0];
        let in_claim = |claim: usize| self.given[claim].iter().any(|given| given.place == place);
        let choice = self.choice(at);
        let free = match choice.admin {
            true => !in_claim(at.claim),
            false => !slice.is_taken(place.1) && !self.owned(place),
        };
        free && slice.devices().get(place.1).is_some_and(|device| can_be_given(device, &choice.tolerations))
    }

    /// Whether the search has given the device away.
    fn owned(&self, place: Place) -> bool {
        let all = self.given.iter().zip(self.claims).flat_map(|(given, claim)| given.iter().map(move |g| (g, claim)));
        let owners = all.filter(|(given, claim)| !claim.requests[given.request].choices[given.choice].admin);
        owners.into_iter().any(|(given, _)| given.place == place)
    }

    /// Whether the selectors of class and request choose a device that the node reaches.
    fn chosen(&self, at: At, place: Place) -> Result<bool, String> {
        let (choice, slice) = (self.choice(at), self.slices[place.0]);
        if !slice.device_reaches(place.1, self.node) {
            return Ok(false);
        }
        let mut known = self.matches.borrow_mut();
        known.entry((choice.id, slice.id, place.1)).or_insert_with(|| select(choice, slice, place.1)).clone()
    }

    /// Whether a device has the attributes that the claim's constraints ask for.
    fn agrees(&self, at: At, place: Place) -> bool {
        let claim = &self.claims[at.claim];
        let name = |request: usize, choice: usize| {
            let request = &claim.requests[request];
            (&*request.name, &*request.choices[choice].name)
        };
        claim.constraints.iter().all(|constraint| {
            let concerns = |(request, choice)| constraint.concerns(request, choice);
            if !concerns(name(at.request, at.choice)) {
                return true;
            }
            let Some(own) = self.attribute(place, &constraint.attribute) else { return false };
            let first = self.given[at.claim].iter().find(|given| concerns(name(given.request, given.choice)));
            first.is_none_or(|first| self.attribute(first.place, &constraint.attribute).is_some_and(|a| same(a, own)))
        })
    }

    /// An attribute by its full name; the driver's own may be written without its domain.
    fn attribute(&self, (slice, device): Place, name: &str) -> Option<&DeviceAttribute> {
        let slice = self.slices[slice];
        let all = slice.devices().get(device)?.attributes.as_ref()?;
        let short = || name.split_once('/').filter(|(domain, _)| *domain == slice.driver()).map(|(_, own)| own);
        all.get(name).or_else(|| all.get(short()?))
    }
}

/// What this allocator hands out: whole devices that depend on nothing else and have no taint against it.
fn can_be_given(device: &Device, tolerations: &[DeviceToleration]) -> bool {
    let forbids = |taint: &DeviceTaint| {
        matches!(&*taint.effect, "NoSchedule" | "NoExecute") && !tolerations.iter().any(|own| tolerates(own, taint))
    };
    device.consumes_counters.as_ref().is_none_or(Vec::is_empty)
        && device.allow_multiple_allocations != Some(true)
        && device.binding_conditions.as_ref().is_none_or(Vec::is_empty)
        && !device.taints.iter().flatten().any(forbids)
}

fn tolerates(own: &DeviceToleration, taint: &DeviceTaint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, effect) = (text(&own.key), text(&own.effect));
    let value = match own.operator.as_deref() {
        None | Some("" | "Equal") => text(&own.value) == text(&taint.value),
        operator => operator == Some("Exists"),
    };
    value && (key.is_empty() || key == taint.key) && (effect.is_empty() || effect == taint.effect)
}

fn select(choice: &Choice, slice: &Slice, at: usize) -> Result<bool, String> {
    let Some(device) = slice.devices().get(at) else { return Ok(false) };
    for selector in &choice.selectors {
        let matches = selector.compiled.matches(slice.driver(), device);
        let failed = |error: String| {
            let id = format!("{}/{}/{}", slice.driver(), slice.pool(), device.name);
            format!("{} on device {id}: CEL runtime error: {error}", selector.of)
        };
        if !matches.map_err(failed)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two attributes have one value; lists are of no use for matching.
fn same(one: &DeviceAttribute, other: &DeviceAttribute) -> bool {
    let known = one.string.is_some() || one.int.is_some() || one.bool.is_some() || one.version.is_some();
    known
        && one.string == other.string
        && one.int == other.int
        && one.bool == other.bool
        && one.version == other.version
}
