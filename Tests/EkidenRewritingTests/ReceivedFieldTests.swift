import EkidenMail
import Testing

@testable import EkidenRewriting

@Suite struct ReceivedFieldTests {
    @Test func theClausesStandInTheOrderOfTheGrammar() throws {
        let text = try rewrite("\r\n", rules()).headerText
        #expect(text == ourReceived + "\r\n")
    }

    @Test func forStandsOnlyForOneRecipient() throws {
        let envelope = { (count: Int) in
            Envelope(
                sender: .null,
                recipients: (0..<count).compactMap { Address("u\($0)@example.org") },
                client: ClientFacts(endpoint: Endpoint(.v4(0xc000_0201), 4711), helo: "h"),
                arrived: testDate
            )
        }
        let facts = {
            ReceivedFacts(envelope: envelope($0), id: testID, byHost: "r", date: testDate)
        }
        #expect(facts(1).forRecipient?.text == "u0@example.org")
        #expect(facts(2).forRecipient == nil)
        let text = try rewrite("\r\n", RewriteRules(received: facts(2), addsMissingFields: false))
            .headerText
        #expect(
            text.replacing("\r\n ", with: " ")
                == "Received: from h ([192.0.2.1]) by r with SMTP id \(testID.text); "
                + testDate.mailDate + "\r\n\r\n"
        )
        #expect(!text.contains(" for "))
    }

    @Test func utf8IsSaidInTheProtocol() throws {
        let words: [(InboundProtocol, String)] = [
            (.esmtp, "UTF8SMTP"), (.esmtps, "UTF8SMTPS"), (.esmtpa, "UTF8SMTPA"),
            (.esmtpsa, "UTF8SMTPSA"),
        ]
        for (inbound, word) in words {
            var rules = rules()
            rules.received.inboundProtocol = inbound
            rules.received.smtpUTF8 = true
            #expect(try rewrite("\r\n", rules).headerText.contains(" with \(word) id "))
        }
    }

    @Test func addressesAreLiterals() throws {
        let six = try rewrite("\r\n", rules(client: HostAddress("2001:db8::1"))).headerText
        #expect(six.contains("from client.example ([IPv6:2001:db8::1])\r\n"))
        let nameless = try rewrite("\r\n", rules(helo: "")).headerText
        #expect(nameless.hasPrefix("Received: from [192.0.2.1] ([192.0.2.1])\r\n"))
        let local = try rewrite("\r\n", rules(client: nil, inbound: .local)).headerText
        #expect(local.hasPrefix("Received: by relay.example with local id \(testID.text)\r\n"))
    }

    @Test func aConfirmedNameStandsBeforeTheAddress() throws {
        var rules = rules()
        rules.received.clientName = "mail.client.example"
        let text = try rewrite("\r\n", rules).headerText
        #expect(
            text.hasPrefix(
                "Received: from client.example (mail.client.example [192.0.2.1])\r\n"
            )
        )
        rules.received.clientName = "a(b) c;d"
        #expect(try rewrite("\r\n", rules).headerText.contains("(a?b??c?d [192.0.2.1])"))
    }

    @Test func hostileNamesCannotBreakTheField() throws {
        let text = try rewrite("\r\n", rules(helo: "a(b;c\"\\d\r\nX: y\u{e9}\0")).headerText
        #expect(text.hasPrefix("Received: from a?b?c??d??X:?y??? ([192.0.2.1])\r\n"))
        let odd = try rewrite("\r\n", rules(recipient: "\u{e9}@example.org")).headerText
        #expect(!odd.contains(" for "))
    }

    @Test func linesFoldBeforeColumn78WherePossible() throws {
        for length in 1...120 {
            let name = String(repeating: "h", count: length)
            let text = try rewrite(
                "\r\n",
                rules(helo: name, byHost: name, recipient: "u@\(name)")
            ).headerText
            for line in text.split(separator: "\r\n") where line.utf8.count > 78 {
                // Only a clause that is too long by itself may stand beyond.
                #expect(length > 60)
                #expect(line.split(separator: " ").count <= 4)
            }
            let unfolded = text.replacing("\r\n ", with: " ")
            #expect(
                unfolded
                    == "Received: from \(name) ([192.0.2.1]) by \(name) with ESMTP id \(testID.text)"
                    + " for <u@\(name)>; \(testDate.mailDate)\r\n\r\n"
            )
        }
    }

    @Test func datesAndIdsAreWrittenAsTheirTypesSayThem() {
        var random = Random(7)
        for _ in 0..<2000 {
            let time = WallTime(seconds: Int64(random.below(4_000_000_000)))
            let number = random.next()
            var out = BytesBuilder()
            MailDate.write(time, to: &out)
            QueueIDText.write(number, to: &out)
            #expect(out.finish().text == time.mailDate + QueueID(number: number).text)
        }
    }
}
