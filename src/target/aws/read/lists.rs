//! Prefix lists and their entries.

use crate::net::Family;

use super::super::artifact::{Entry, Fault, PrefixList, Strictness, cidr};
use super::groups::{id, noted, tag};
use super::node::{Fields, Node, Reading};
use super::{ReadError, Why};

/// `ManagedPrefixList` of the EC2 API, and `PrefixList` of the older call, which has the networks with it.
pub(super) fn list(node: &Node<'_>, reading: &mut Reading) -> Result<PrefixList, ReadError> {
    const KNOWN: [&str; 13] = [
        "PrefixListId",
        "AddressFamily",
        "State",
        "StateMessage",
        "PrefixListArn",
        "PrefixListName",
        "MaxEntries",
        "Version",
        "Tags",
        "OwnerId",
        "Cidrs",
        "IpamPrefixListResolverTargetId",
        "IpamPrefixListResolverSyncEnabled",
    ];
    let fields = node.fields(&KNOWN)?;
    let entries =
        fields.list("Cidrs", |item| Ok(Entry { cidr: noted(item, reading, cidr)?, description: None }))?;
    Ok(PrefixList {
        id: id(&fields, "PrefixListId")?,
        name: fields.text("PrefixListName")?,
        family: family(&fields)?,
        max_entries: max_entries(&fields, reading.how)?,
        owner: fields.text("OwnerId")?,
        arn: fields.text("PrefixListArn")?,
        state: fields.text("State")?,
        version: fields.number("Version")?,
        entries,
        tags: fields.list("Tags", tag)?.unwrap_or_default(),
    })
}

fn family(fields: &Fields<'_>) -> Result<Option<Family>, ReadError> {
    let Some(node) = fields.get("AddressFamily") else { return Ok(None) };
    match node.text()? {
        "IPv4" => Ok(Some(Family::V4)),
        "IPv6" => Ok(Some(Family::V6)),
        _ => Err(node.error(Why::Expected("IPv4 or IPv6"))),
    }
}

fn max_entries(fields: &Fields<'_>, how: Strictness) -> Result<Option<u32>, ReadError> {
    let Some(node) = fields.get("MaxEntries") else { return Ok(None) };
    let value = node.number()?;
    // A list of AWS may be answered with none.
    let least = if how == Strictness::Asked { 1 } else { 0 };
    match u32::try_from(value) {
        Ok(max) if i64::from(max) >= least && max <= 1000 => Ok(Some(max)),
        _ => Err(node.fault(Fault::OutOfRange { what: "MaxEntries", value, least, most: 1000 })),
    }
}

/// `PrefixListEntry`, and `AddPrefixListEntry` of a call.
pub(crate) fn entry(node: &Node<'_>, reading: &mut Reading) -> Result<Entry, ReadError> {
    let fields = node.fields(&["Cidr", "Description"])?;
    Ok(Entry { cidr: noted(&fields.need("Cidr")?, reading, cidr)?, description: fields.text("Description")? })
}
