//! Admission over real stores: quotas between two servers, policies, and webhooks over HTTPS.

mod connect;
mod policies;
mod quotas;
mod support;
mod webhooks;
