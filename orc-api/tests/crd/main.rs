//! Custom kinds over real stores: two servers, changes of schemas, deletion, and conversion by an HTTPS webhook.

mod conversion;
mod definitions;
mod owners;
mod support;
