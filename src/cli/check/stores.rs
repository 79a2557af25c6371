//! The stores of `file_storage`: what they contain, and whether they are damaged.

use std::path::Path;

use longwave_config::{ByteSize, Value};
use longwave_extensions::file_storage::{StoreReport, verify};
use longwave_pipeline::runtime::Plan;
use longwave_receivers::bpf::kernel::{HostFact, Verdict};

/// Number of damaged files that are listed.
const LISTED: usize = 5;

/// Returns a fact for each store that the configuration uses. Changes nothing, and may run while Longwave does.
pub(super) fn facts(plan: &Plan) -> Vec<HostFact> {
    let stores = plan.extensions.iter().filter(|it| it.id.split('/').next() == Some("file_storage"));
    let facts = stores.filter_map(|extension| {
        let settings = plan.effective.get("extensions")?.get(&extension.id)?;
        let Some(Value::Str(directory)) = settings.get("directory") else { return None };
        Some(fact(&extension.id, Path::new(directory)))
    });
    facts.collect()
}

pub(super) fn fact(id: &str, directory: &Path) -> HostFact {
    let shown = directory.display();
    let (found, verdict, remedy) = match verify(directory) {
        Err(error) => (
            format!("cannot be verified: {error}"),
            Verdict::Degraded,
            "run this command as the user of Longwave, and check the permissions of the directory",
        ),
        Ok(StoreReport { damage, .. }) if !damage.is_empty() => {
            let listed: Vec<&str> = damage.iter().take(LISTED).map(String::as_str).collect();
            let more = match damage.len().saturating_sub(LISTED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            (
                format!("{shown}: damaged: {}{more}", listed.join("; ")),
                Verdict::Degraded,
                "check the disk; what is not damaged will be sent, and what is lost is counted as storage_damaged",
            )
        }
        Ok(StoreReport { segments, requests, items, bytes, .. }) => {
            let size = ByteSize(bytes);
            (
                format!(
                    "{shown}: {requests} requests ({items} items) in {segments} files, {size}; not damaged"
                ),
                Verdict::Good,
                "",
            )
        }
    };
    HostFact { name: id.to_owned().into(), found, verdict, remedy }
}
