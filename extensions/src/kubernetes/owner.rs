//! The owner of a pod as users name it: the Deployment, not the ReplicaSet. It is derived from the pod alone, so no owner is watched.
//!
//! | the pod's controller | is shown as |
//! |---|---|
//! | ReplicaSet `web-7d4b9c6f5d`, pod label `pod-template-hash: 7d4b9c6f5d` | Deployment `web` |
//! | the same with `rollouts-pod-template-hash` (Argo Rollouts) | Rollout `web` |
//! | ReplicationController, pod annotation `openshift.io/deployment-config.name: web` | DeploymentConfig `web` |
//! | Job `backup-29345280`, whose number is the minute for which it was due | CronJob `backup` |
//! | Node (static pods), or none | Pod, its own name |
//! | any other: StatefulSet, DaemonSet, ReplicaSet, Job, custom ones | itself |
//!
//! A Job that a user named like those of a CronJob is distinguished by its number: a CronJob's number is a minute in the week before the
//! pod was created.

use std::borrow::Cow;

use longwave_pipeline::model::UnixNanos;

use super::objects::{ObjectMeta, pick};

/// Name and kind of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner<'a> {
    /// Name of the owner; the pod's own name for kind `Pod`.
    pub name: Cow<'a, str>,
    /// Kind as in the API, for example `Deployment`.
    pub kind: Cow<'a, str>,
}

const LABELS: [&str; 2] = ["pod-template-hash", "rollouts-pod-template-hash"];
const DEPLOYMENT_CONFIG: &str = "openshift.io/deployment-config.name";
const MINUTE: u64 = 60_000_000_000;
/// Longest time from the moment for which a CronJob's run was due to the creation of its pod, in ns. The run may have waited for earlier
/// runs or been missed at first.
const DUE_BEFORE: u64 = 7 * 24 * 60 * MINUTE;
/// Largest difference between the clocks of the cluster's nodes, in ns.
const DUE_AFTER: u64 = 5 * MINUTE;

/// Returns the owner of the pod with this metadata.
pub(super) fn of<'m>(meta: &'m ObjectMeta<'_>) -> Owner<'m> {
    let Some(controller) = meta.controller() else { return pod(meta) };
    let (name, kind) = (&*controller.name, &*controller.kind);
    match kind {
        "Node" => pod(meta),
        "ReplicaSet" => {
            let labels = pick(meta.labels, &LABELS).unwrap_or_default();
            let kinds = labels.iter().zip(["Deployment", "Rollout"]);
            let derived = kinds.filter_map(|(hash, kind)| Some((stem(name, hash.as_deref()?)?, kind)));
            // Rollouts set both labels on some pods. Then the Rollout is the owner.
            let (name, kind) = derived.reduce(|_, last| last).unwrap_or((name, kind));
            owner(name, kind)
        }
        "ReplicationController" => {
            match pick(meta.annotations, &[DEPLOYMENT_CONFIG]).ok().and_then(|mut found| found.pop()?) {
                Some(name) => Owner { name, kind: "DeploymentConfig".into() },
                None => owner(name, kind),
            }
        }
        "Job" => match cron_job(name, meta.created()) {
            Some(name) => owner(name, "CronJob"),
            None => owner(name, kind),
        },
        _ => owner(name, kind),
    }
}

fn owner<'m>(name: &'m str, kind: &'m str) -> Owner<'m> {
    Owner { name: name.into(), kind: kind.into() }
}

fn pod<'m>(meta: &'m ObjectMeta<'_>) -> Owner<'m> {
    owner(&meta.name, "Pod")
}

/// Returns `web` of `web-<hash>`.
fn stem<'n>(name: &'n str, hash: &str) -> Option<&'n str> {
    let stem = name.strip_suffix(hash)?.strip_suffix('-')?;
    (!stem.is_empty() && !hash.is_empty()).then_some(stem)
}

/// Returns `backup` of `backup-<minutes since the epoch>`, if a pod created at `created` may belong to that run.
fn cron_job(name: &str, created: Option<UnixNanos>) -> Option<&str> {
    let (stem, minutes) = name.rsplit_once('-')?;
    if stem.is_empty() || !minutes.bytes().all(|b| b.is_ascii_digit()) || minutes.starts_with('0') {
        return None;
    }
    let due = minutes.parse::<u64>().ok()?.checked_mul(MINUTE)?;
    let created = created?.0;
    (due <= created.saturating_add(DUE_AFTER) && created <= due.saturating_add(DUE_BEFORE)).then_some(stem)
}

#[cfg(test)]
mod tests;
