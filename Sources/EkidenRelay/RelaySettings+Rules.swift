// A listener's rules, from the configuration and the files it names.

import EkidenConfiguration
import EkidenIngress
import EkidenMail

extension RelaySettings {
    /// - Parameter lists: has read the files of this configuration.
    func rules(of listener: Configuration.Listener, _ lists: ListsDesk) -> ListenerRules {
        var rules = ListenerRules()
        for domain in listener.relayDomains {
            switch domain {
            case .exact(let domain): rules.relayDomains.insert(domain: domain)
            case .below(let parent): rules.relayDomains.insert(below: Domain(parent))
            // The configuration takes none here.
            case .any: break
            }
        }
        rules.recipients = listener.recipients.flatMap { lists.list($0, as: .recipients) }
        for list in configuration.lists
        where list.listeners.isEmpty || list.listeners.contains(listener.name) {
            let ready = AccessList(
                name: list.name,
                entries: EntryList(list.entries.compactMap(ListEntry.init)),
                file: list.file.flatMap { lists.list($0, as: list.form) }
            )
            switch list.of {
            case .clients: rules.clientLists.add(ready, list.action)
            case .senders: rules.senderLists.add(ready, list.action)
            case .recipients: rules.recipientLists.add(ready, list.action)
            }
        }
        rules.senders = configuration.auth.senders.flatMap { lists.list($0, as: .senders) }
        rules.senderOwnership =
            SenderOwnership(rawValue: configuration.senderOwnership(of: listener).rawValue) ?? .off
        rules.users = Set(listener.users.map { $0.asciiLowercased })
        rules.allowances = lists.allowances
        rules.helloCheck = HelloCheck(rawValue: listener.helloCheck.rawValue) ?? .off
        rules.reverseCheck = ReverseCheck(rawValue: listener.reverseDNS.rawValue) ?? .off
        rules.ownNames = configuration.ownNames.map(\.folded)
        rules.ownNetworks = lists.localNetworks
        return rules
    }
}

extension AccessRules {
    fileprivate mutating func add(_ list: AccessList, _ action: Configuration.ListAction) {
        switch action {
        case .allow: allow.append(list)
        case .deny: deny.append(list)
        }
    }
}

extension ListEntry {
    fileprivate init?(_ entry: Configuration.ListEntry) {
        switch entry {
        case .network(let network): self = .network(network)
        case .mailbox(let address): self = .mailbox(address)
        case .domain(.exact(let domain)): self = .domain(domain)
        case .domain(.below(let parent)): self = .below(Domain(parent))
        // The configuration takes none here.
        case .domain(.any): return nil
        }
    }
}

extension Configuration.AccessList {
    /// What its file is read as.
    var form: ListForm { of == .clients ? .clients : .mailboxes }
}
