//! Security groups, in both forms: grouped permissions, and rules one by one.

use super::super::artifact::{
    Direction, Fault, Group, GroupRef, NoteKind, Peer, Rule, RuleRecord, Strictness, Tag, Traffic, v4, v6,
};
use super::json::Json;
use super::node::{Fields, Node, Reading};
use super::{ReadError, Why};

/// `SecurityGroup` of the EC2 API.
pub(super) fn group(node: &Node<'_>, reading: &mut Reading) -> Result<Group, ReadError> {
    const KNOWN: [&str; 9] = [
        "GroupId",
        "GroupName",
        "Description",
        "VpcId",
        "OwnerId",
        "SecurityGroupArn",
        "Tags",
        "IpPermissions",
        "IpPermissionsEgress",
    ];
    let (fields, other) = node.fields_keeping(&KNOWN, reading)?;
    let mut rules = |key: &'static str| -> Result<Option<Vec<Rule>>, ReadError> {
        match fields.get(key) {
            Some(list) => permissions(&list, reading).map(Some),
            None if reading.how == Strictness::Asked => Err(node.fault(Fault::Missing(key))),
            None => {
                reading.note(node, NoteKind::Untold(key));
                Ok(None)
            }
        }
    };
    let (ingress, egress) = (rules("IpPermissions")?, rules("IpPermissionsEgress")?);
    Ok(Group {
        id: id(&fields, "GroupId")?,
        name: fields.text("GroupName")?,
        description: fields.text("Description")?,
        vpc: fields.text("VpcId")?,
        owner: fields.text("OwnerId")?,
        arn: fields.text("SecurityGroupArn")?,
        tags: fields.list("Tags", tag)?.unwrap_or_default(),
        ingress,
        egress,
        other,
    })
}

/// A list of `IpPermission`: one rule for each source or destination.
fn permissions(list: &Node<'_>, reading: &mut Reading) -> Result<Vec<Rule>, ReadError> {
    let rules = list.items(|item| permission(item, reading))?;
    Ok(rules.into_iter().flatten().collect())
}

/// One `IpPermission`.
pub(crate) fn permission(node: &Node<'_>, reading: &mut Reading) -> Result<Vec<Rule>, ReadError> {
    const KNOWN: [&str; 7] =
        ["IpProtocol", "FromPort", "ToPort", "IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"];
    let fields = node.fields(&KNOWN)?;
    let traffic = traffic(node, &fields, reading)?;
    let mut peers: Vec<(Peer, Option<String>)> = Vec::new();
    let ranges = fields.list("IpRanges", |item| {
        let range = item.fields(&["CidrIp", "Description"])?;
        Ok((Peer::V4(noted(&range.need("CidrIp")?, reading, v4)?), range.text("Description")?))
    })?;
    peers.extend(ranges.unwrap_or_default());
    let ranges = fields.list("Ipv6Ranges", |item| {
        let range = item.fields(&["CidrIpv6", "Description"])?;
        Ok((Peer::V6(noted(&range.need("CidrIpv6")?, reading, v6)?), range.text("Description")?))
    })?;
    peers.extend(ranges.unwrap_or_default());
    let lists = fields.list("PrefixListIds", |item| {
        let list = item.fields(&["PrefixListId", "Description"])?;
        Ok((Peer::list(id(&list, "PrefixListId")?), list.text("Description")?))
    })?;
    peers.extend(lists.unwrap_or_default());
    let groups = fields.list("UserIdGroupPairs", reference)?;
    peers.extend(groups.unwrap_or_default().into_iter().map(|(group, text)| (Peer::Group(group), text)));
    match (peers.is_empty(), reading.how) {
        (true, Strictness::Asked) => return Err(node.fault(Fault::NoPeer("the permission"))),
        (true, Strictness::Recorded) => reading.note(node, NoteKind::Vacant),
        (false, _) => {}
    }
    let rules = peers.into_iter().map(|(peer, description)| Rule { traffic, peer, description });
    rules.map(|rule| checked(node, rule, reading.how)).collect()
}

/// `UserIdGroupPair`, with its description.
fn reference(node: &Node<'_>) -> Result<(GroupRef, Option<String>), ReadError> {
    const KNOWN: [&str; 7] =
        ["GroupId", "UserId", "VpcId", "VpcPeeringConnectionId", "PeeringStatus", "GroupName", "Description"];
    let fields = node.fields(&KNOWN)?;
    let group = GroupRef {
        id: id(&fields, "GroupId")?,
        owner: fields.text("UserId")?,
        vpc: fields.text("VpcId")?,
        peering: fields.text("VpcPeeringConnectionId")?,
        status: fields.text("PeeringStatus")?,
        name: fields.text("GroupName")?,
    };
    Ok((group, fields.text("Description")?))
}

/// `SecurityGroupRule` of the EC2 API.
pub(super) fn record(node: &Node<'_>, reading: &mut Reading) -> Result<RuleRecord, ReadError> {
    const KNOWN: [&str; 14] = [
        "SecurityGroupRuleId",
        "GroupId",
        "GroupOwnerId",
        "IsEgress",
        "IpProtocol",
        "FromPort",
        "ToPort",
        "CidrIpv4",
        "CidrIpv6",
        "PrefixListId",
        "ReferencedGroupInfo",
        "Description",
        "Tags",
        "SecurityGroupRuleArn",
    ];
    let fields = node.fields(&KNOWN)?;
    let traffic = traffic(node, &fields, reading)?;
    let mut peers = Vec::new();
    if let Some(range) = fields.get("CidrIpv4") {
        peers.push(Peer::V4(noted(&range, reading, v4)?));
    }
    if let Some(range) = fields.get("CidrIpv6") {
        peers.push(Peer::V6(noted(&range, reading, v6)?));
    }
    if fields.has("PrefixListId") {
        peers.push(Peer::list(id(&fields, "PrefixListId")?));
    }
    if let Some(group) = fields.get("ReferencedGroupInfo") {
        peers.push(Peer::Group(reference(&group)?.0));
    }
    let mut peers = peers.into_iter();
    let (Some(peer), None) = (peers.next(), peers.next()) else {
        let several = ["CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupInfo"];
        let one = several.iter().any(|key| fields.has(key));
        return Err(node.fault(if one { Fault::SeveralPeers } else { Fault::NoPeer("the rule") }));
    };
    let rule = Rule { traffic, peer, description: fields.text("Description")? };
    Ok(RuleRecord {
        id: fields.text("SecurityGroupRuleId")?,
        group: id(&fields, "GroupId")?,
        owner: fields.text("GroupOwnerId")?,
        direction: if fields.need("IsEgress")?.flag()? { Direction::Egress } else { Direction::Ingress },
        rule: checked(node, rule, reading.how)?,
        arn: fields.text("SecurityGroupRuleArn")?,
        tags: fields.list("Tags", tag)?.unwrap_or_default(),
    })
}

/// `SecurityGroupRuleRequest` of a call that changes a rule in place.
pub(crate) fn rule_request(node: &Node<'_>, reading: &mut Reading) -> Result<Rule, ReadError> {
    const PEERS: [&str; 4] = ["CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId"];
    let own = ["IpProtocol", "FromPort", "ToPort", "Description"];
    let known: Vec<&str> = own.into_iter().chain(PEERS).collect();
    let fields = node.fields(&known)?;
    let traffic = traffic(node, &fields, reading)?;
    let mut said = PEERS.into_iter().filter(|key| fields.has(key));
    let peer = match (said.next(), said.next()) {
        (None, _) => return Err(node.fault(Fault::NoPeer("the rule"))),
        (Some(_), Some(_)) => return Err(node.fault(Fault::SeveralPeers)),
        (Some("CidrIpv4"), None) => Peer::V4(noted(&fields.need("CidrIpv4")?, reading, v4)?),
        (Some("CidrIpv6"), None) => Peer::V6(noted(&fields.need("CidrIpv6")?, reading, v6)?),
        (Some("PrefixListId"), None) => Peer::list(id(&fields, "PrefixListId")?),
        (Some(_), None) => Peer::group(id(&fields, "ReferencedGroupId")?),
    };
    let rule = Rule { traffic, peer, description: fields.text("Description")? };
    checked(node, rule, reading.how)
}

/// `IpProtocol`, `FromPort` and `ToPort`.
fn traffic(node: &Node<'_>, fields: &Fields<'_>, reading: &mut Reading) -> Result<Traffic, ReadError> {
    let said = fields.need("IpProtocol")?;
    let protocol = match (said.json, reading.how) {
        // EC2 says a text; some recordings have a number.
        (Json::Number(number), Strictness::Recorded) => {
            reading.note(&said, NoteKind::OddProtocol { said: number.to_string() });
            number.to_string()
        }
        _ => said.text()?.to_owned(),
    };
    let (from, to) = (fields.number("FromPort")?, fields.number("ToPort")?);
    let (traffic, notes) =
        Traffic::said(&protocol, from, to, reading.how).map_err(|fault| node.fault(fault))?;
    for kind in notes {
        reading.note(node, kind);
    }
    Ok(traffic)
}

/// What EC2 refuses of a rule that is right in its parts.
fn checked(node: &Node<'_>, rule: Rule, how: Strictness) -> Result<Rule, ReadError> {
    match (rule.family_fault(), how) {
        (Some(fault), Strictness::Asked) => Err(node.fault(fault)),
        _ => Ok(rule),
    }
}

/// A network, its note taken.
pub(super) fn noted<T>(
    node: &Node<'_>,
    reading: &mut Reading,
    parse: impl Fn(&str) -> Result<(T, Option<NoteKind>), Fault>,
) -> Result<T, ReadError> {
    let (net, note) = parse(node.text()?).map_err(|fault| node.fault(fault))?;
    if let Some(kind) = note {
        reading.note(node, kind);
    }
    Ok(net)
}

/// An id: opaque, but not empty.
pub(super) fn id(fields: &Fields<'_>, key: &'static str) -> Result<String, ReadError> {
    let node = fields.need(key)?;
    match node.text()? {
        "" => Err(node.error(Why::Fault(Fault::Empty("id")))),
        id => Ok(id.to_owned()),
    }
}

/// A list of tags.
pub(crate) fn tags(node: &Node<'_>) -> Result<Vec<Tag>, ReadError> {
    node.items(tag)
}

/// A tag.
pub(super) fn tag(node: &Node<'_>) -> Result<Tag, ReadError> {
    let fields = node.fields(&["Key", "Value"])?;
    Ok(Tag { key: fields.need_text("Key")?, value: fields.text("Value")?.unwrap_or_default() })
}
