//! Network ACLs.

use ipnet::IpNet;

use super::super::artifact::{
    Acl, AclEntry, Action, Association, Direction, Fault, NoteKind, Strictness, Traffic, v4, v6,
};
use super::ReadError;
use super::groups::{id, noted, tag};
use super::node::{Fields, Node, Reading};

/// `NetworkAcl` of the EC2 API.
pub(super) fn acl(node: &Node<'_>, reading: &mut Reading) -> Result<Acl, ReadError> {
    const KNOWN: [&str; 7] =
        ["NetworkAclId", "VpcId", "OwnerId", "IsDefault", "Associations", "Entries", "Tags"];
    let fields = node.fields(&KNOWN)?;
    let id = id(&fields, "NetworkAclId")?;
    let associations = fields.list("Associations", |item| association(item, &id))?;
    Ok(Acl {
        vpc: fields.text("VpcId")?,
        owner: fields.text("OwnerId")?,
        is_default: fields.flag("IsDefault")?,
        associations: associations.unwrap_or_default(),
        entries: fields.need("Entries")?.items(|item| entry(item, AclEntry::LAST_OF_ALL, reading))?,
        tags: fields.list("Tags", tag)?.unwrap_or_default(),
        id,
    })
}

fn association(node: &Node<'_>, acl: &str) -> Result<Association, ReadError> {
    let fields = node.fields(&["NetworkAclAssociationId", "NetworkAclId", "SubnetId"])?;
    if let Some(other) = fields.text("NetworkAclId")?
        && other != acl
    {
        return Err(node.fault(Fault::Unknown { kind: "network ACL here", id: other }));
    }
    Ok(Association { id: fields.text("NetworkAclAssociationId")?, subnet: id(&fields, "SubnetId")? })
}

/// `NetworkAclEntry`, of an answer or of a call; numbered up to `last`.
pub(crate) fn entry(node: &Node<'_>, last: u32, reading: &mut Reading) -> Result<AclEntry, ReadError> {
    const KNOWN: [&str; 9] = [
        "NetworkAclId",
        "RuleNumber",
        "Protocol",
        "RuleAction",
        "Egress",
        "CidrBlock",
        "Ipv6CidrBlock",
        "PortRange",
        "IcmpTypeCode",
    ];
    let fields = node.fields(&KNOWN)?;
    let said = fields.need("RuleNumber")?.number()?;
    let number = u32::try_from(said).ok().filter(|n| (1..=last).contains(n));
    let number = number.ok_or_else(|| node.fault(Fault::RuleNumber(said)))?;
    let action = match fields.need("RuleAction")?.text()? {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        other => return Err(node.fault(Fault::Action(other.to_owned()))),
    };
    let direction = if fields.need("Egress")?.flag()? { Direction::Egress } else { Direction::Ingress };
    let cidr: IpNet = match (fields.get("CidrBlock"), fields.get("Ipv6CidrBlock")) {
        (Some(range), None) => noted(&range, reading, v4)?.into(),
        (None, Some(range)) => noted(&range, reading, v6)?.into(),
        (None, None) => return Err(node.fault(Fault::NoPeer("the entry"))),
        (Some(_), Some(_)) => return Err(node.fault(Fault::SeveralPeers)),
    };
    let traffic = traffic(node, &fields, reading)?;
    let entry = AclEntry { direction, number, action, traffic, cidr };
    match (entry.family_fault(), reading.how) {
        (Some(fault), Strictness::Asked) => Err(node.fault(fault)),
        _ => Ok(entry),
    }
}

/// `Protocol` (a number here) with `PortRange` or `IcmpTypeCode`, whichever it takes.
fn traffic(node: &Node<'_>, fields: &Fields<'_>, reading: &mut Reading) -> Result<Traffic, ReadError> {
    let protocol = fields.need_text("Protocol")?;
    let pair = |key: &str, first: &'static str, second: &'static str| -> Result<_, ReadError> {
        let Some(node) = fields.get(key) else { return Ok((None, None)) };
        let fields = node.fields(&[first, second])?;
        Ok((fields.number(first)?, fields.number(second)?))
    };
    let ports = pair("PortRange", "From", "To")?;
    let icmp = pair("IcmpTypeCode", "Type", "Code")?;
    let is_icmp = matches!(protocol.as_str(), "1" | "58" | "icmp" | "icmpv6");
    let (from, to) = if is_icmp { icmp } else { ports };
    if is_icmp && reading.how == Strictness::Asked && from.is_none() {
        return Err(node.fault(Fault::NoPorts("ICMP")));
    }
    let (traffic, notes) =
        Traffic::said(&protocol, from, to, reading.how).map_err(|fault| node.fault(fault))?;
    // Here numbers are the usual form.
    for kind in notes.into_iter().filter(|kind| !matches!(kind, NoteKind::NamedProtocol { .. })) {
        reading.note(node, kind);
    }
    Ok(traffic)
}
