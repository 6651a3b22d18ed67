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
        return rules
    }
}
