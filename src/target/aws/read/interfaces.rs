//! Network interfaces.

use std::net::{IpAddr, Ipv4Addr};

use super::super::artifact::{Fault, Interface, NoteKind, Strictness, cidr};
use super::ReadError;
use super::groups::{id, noted, tag};
use super::node::{Fields, Node, Reading};

/// Keys of `NetworkInterface` in the EC2 API; those that are not looked at say nothing of groups or addresses.
const KNOWN: [&str; 34] = [
    "Association",
    "AssociatedSubnets",
    "Attachment",
    "AvailabilityZone",
    "AvailabilityZoneId",
    "ConnectionTrackingConfiguration",
    "DenyAllIgwTraffic",
    "Description",
    "Groups",
    "InterfaceType",
    "Ipv4Prefixes",
    "Ipv6Address",
    "Ipv6Addresses",
    "Ipv6Native",
    "Ipv6Prefixes",
    "MacAddress",
    "NetworkInterfaceId",
    "Operator",
    "OutpostArn",
    "OwnerId",
    "PrivateDnsName",
    "PrivateIpAddress",
    "PrivateIpAddresses",
    "PublicDnsName",
    "PublicIpDnsNameOptions",
    "RequesterId",
    "RequesterManaged",
    "SourceDestCheck",
    "Status",
    "SubnetId",
    "TagSet",
    "Tags",
    "VpcId",
    "NetworkInterfaceArn",
];

/// `NetworkInterface` of the EC2 API.
pub(super) fn interface(node: &Node<'_>, reading: &mut Reading) -> Result<Interface, ReadError> {
    let (fields, other) = node.fields_keeping(&KNOWN, reading)?;
    let groups = fields.list("Groups", |item| id(&item.fields(&["GroupId", "GroupName"])?, "GroupId"))?;
    if groups.is_none() {
        reading.note(node, NoteKind::Untold("Groups"));
        if reading.how == Strictness::Asked {
            return Err(node.fault(Fault::Missing("Groups")));
        }
    }
    let (addresses, public) = addresses(&fields)?;
    let mut prefixes = Vec::new();
    for (list, key) in [("Ipv4Prefixes", "Ipv4Prefix"), ("Ipv6Prefixes", "Ipv6Prefix")] {
        let found = fields.list(list, |item| noted(&item.fields(&[key])?.need(key)?, reading, cidr))?;
        prefixes.extend(found.unwrap_or_default());
    }
    let instance = match fields.get("Attachment") {
        Some(attachment) => attachment.object()?.text("InstanceId")?,
        None => None,
    };
    let mut tags = fields.list("TagSet", tag)?.unwrap_or_default();
    tags.extend(fields.list("Tags", tag)?.unwrap_or_default());
    Ok(Interface {
        id: id(&fields, "NetworkInterfaceId")?,
        groups,
        addresses,
        prefixes,
        public,
        subnet: fields.text("SubnetId")?,
        vpc: fields.text("VpcId")?,
        owner: fields.text("OwnerId")?,
        source_dest_check: fields.flag("SourceDestCheck")?,
        kind: fields.text("InterfaceType")?,
        instance,
        requester: fields.text("RequesterId")?,
        description: fields.text("Description")?,
        status: fields.text("Status")?,
        tags,
        other,
    })
}

type Addresses = (Vec<IpAddr>, Vec<(IpAddr, Ipv4Addr)>);

/// Its own addresses, the primary one first, and the public ones by the private one they are translated to.
fn addresses(fields: &Fields<'_>) -> Result<Addresses, ReadError> {
    let (mut own, mut public): Addresses = Default::default();
    let add = |own: &mut Vec<IpAddr>, address: IpAddr| {
        if !own.contains(&address) {
            own.push(address);
        }
    };
    if let Some(primary) = fields.get("PrivateIpAddress") {
        add(&mut own, address(&primary)?);
    }
    let listed = fields.list("PrivateIpAddresses", |item| {
        const KNOWN: [&str; 4] = ["Association", "Primary", "PrivateDnsName", "PrivateIpAddress"];
        let fields = item.fields(&KNOWN)?;
        let own = address(&fields.need("PrivateIpAddress")?)?;
        Ok((own, association(&fields)?))
    })?;
    for (address, outer) in listed.unwrap_or_default() {
        add(&mut own, address);
        if let (Some(outer), Some(at)) = (outer, fields.get("PrivateIpAddresses")) {
            put(&mut public, (address, outer), &at)?;
        }
    }
    if let (Some(outer), Some(first), Some(at)) =
        (association(fields)?, own.first(), fields.get("Association"))
        && !public.iter().any(|(_, known)| *known == outer)
    {
        put(&mut public, (*first, outer), &at)?;
    }
    let v6 = fields.list("Ipv6Addresses", |item| {
        let fields = item.fields(&["Ipv6Address", "IsPrimaryIpv6", "PublicIpv6DnsName"])?;
        address(&fields.need("Ipv6Address")?)
    })?;
    for address in v6.unwrap_or_default() {
        add(&mut own, address);
    }
    if let Some(primary) = fields.get("Ipv6Address") {
        add(&mut own, address(&primary)?);
    }
    Ok((own, public))
}

/// EC2 gives each address one public address.
fn put(
    all: &mut Vec<(IpAddr, Ipv4Addr)>,
    (private, public): (IpAddr, Ipv4Addr),
    at: &Node<'_>,
) -> Result<(), ReadError> {
    match all.iter().find(|(known, _)| *known == private) {
        None => all.push((private, public)),
        Some((_, known)) if *known == public => {}
        Some((_, known)) => {
            return Err(at.fault(Fault::SeveralPublic { private, public: [*known, public] }));
        }
    }
    Ok(())
}

fn association(fields: &Fields<'_>) -> Result<Option<Ipv4Addr>, ReadError> {
    let Some(node) = fields.get("Association") else { return Ok(None) };
    let Some(public) = node.object()?.get("PublicIp") else { return Ok(None) };
    match address(&public)? {
        IpAddr::V4(address) => Ok(Some(address)),
        IpAddr::V6(_) => Err(public.fault(not_an_address(public.text()?))),
    }
}

fn address(node: &Node<'_>) -> Result<IpAddr, ReadError> {
    let text = node.text()?;
    text.parse().map_err(|_| node.fault(not_an_address(text)))
}

fn not_an_address(text: &str) -> Fault {
    Fault::Id { text: text.to_owned(), kind: "address" }
}
