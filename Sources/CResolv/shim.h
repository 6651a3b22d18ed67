#ifndef EKIDEN_CRESOLV_H
#define EKIDEN_CRESOLV_H
/* libresolv's packet parser as flat values. Its own types come as macros, unions and bit-fields
 * that Swift can't say; here a packet is an ns_msg, a record is a struct of numbers, and names go
 * into buffers of the caller's. Used by EkidenResolver (answers) and EkidenLinux (questions), so
 * that the real and the simulated world read the same bytes with the same code.
 *
 * Names come out as text (RFC 1035 §5.1): dots between labels, odd bytes escaped as \. or \DDD,
 * the root as ".". A packet whose compression pointers loop or leave the packet is refused. */
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <netinet/in.h>
#include <arpa/nameser.h>
#include <resolv.h>

enum {
    /* Room for any name as text: 255 bytes, each escaped to four, and a NUL. */
    EKIDEN_DNS_NAME_BYTES = NS_MAXDNAME,
    EKIDEN_DNS_HEADER_BYTES = NS_HFIXEDSZ,
    /* Room for any question: header, name, type and class, and an empty OPT record. */
    EKIDEN_DNS_QUESTION_BYTES = NS_HFIXEDSZ + NS_MAXCDNAME + 4 + 11,

    EKIDEN_DNS_ANSWER = 1,
    EKIDEN_DNS_AUTHORITY = 2,
    EKIDEN_DNS_ADDITIONAL = 3,
};

struct ekiden_dns_header {
    uint16_t id;
    uint8_t is_response;
    uint8_t is_truncated;
    /* The four bits of the header; an OPT record may hold eight more. */
    uint8_t rcode;
    uint16_t questions;
    uint16_t answers;
    uint16_t authorities;
    uint16_t additionals;
};

struct ekiden_dns_record {
    uint16_t type;
    uint16_t class_;
    uint32_t ttl;
    /* MX */
    uint16_t preference;
    /* SOA */
    uint32_t minimum;
    /* A: the first four; AAAA: all, as two numbers in host order */
    uint32_t address4;
    uint64_t address6_high;
    uint64_t address6_low;
};

/* Reads the header and finds the sections: 0, or -1 for bytes that are no DNS message. The message
 * points into the bytes. */
static inline int ekiden_dns_open(
    ns_msg *message, const uint8_t *bytes, int count, struct ekiden_dns_header *header)
{
    memset(message, 0, sizeof *message);
    if (ns_initparse(bytes, count, message) < 0) return -1;
    header->id = ns_msg_id(*message);
    header->is_response = (uint8_t)ns_msg_getflag(*message, ns_f_qr);
    header->is_truncated = (uint8_t)ns_msg_getflag(*message, ns_f_tc);
    header->rcode = (uint8_t)ns_msg_getflag(*message, ns_f_rcode);
    header->questions = ns_msg_count(*message, ns_s_qd);
    header->answers = ns_msg_count(*message, ns_s_an);
    header->authorities = ns_msg_count(*message, ns_s_ns);
    header->additionals = ns_msg_count(*message, ns_s_ar);
    return 0;
}

static inline void ekiden_dns_root(char *name)
{
    if (name[0] == 0) { name[0] = '.'; name[1] = 0; }
}

/* The first question: 0 or -1. name has room for EKIDEN_DNS_NAME_BYTES. */
static inline int ekiden_dns_first_question(
    ns_msg *message, uint16_t *type, uint16_t *class_, char *name)
{
    ns_rr rr;
    if (ns_parserr(message, ns_s_qd, 0, &rr) < 0) return -1;
    *type = ns_rr_type(rr);
    *class_ = (uint16_t)ns_rr_class(rr);
    /* Not by ns_rr_name: for the root that is a literal of two bytes. */
    memcpy(name, rr.name, NS_MAXDNAME);
    ekiden_dns_root(name);
    return 0;
}

/* A name that must fill the data of a record from at to its end exactly: 0 or -1. */
static inline int ekiden_dns_target(
    ns_msg *message, const uint8_t *at, const uint8_t *end, char *name)
{
    int n = ns_name_uncompress(
        ns_msg_base(*message), ns_msg_end(*message), at, name, EKIDEN_DNS_NAME_BYTES);
    if (n < 0 || at + n != end) return -1;
    ekiden_dns_root(name);
    return 0;
}

static inline int ekiden_dns_soa_minimum(
    ns_msg *message, const uint8_t *at, const uint8_t *end, uint32_t *minimum)
{
    char name[NS_MAXDNAME];
    for (int i = 0; i < 2; i++) {
        int n = ns_name_uncompress(
            ns_msg_base(*message), ns_msg_end(*message), at, name, sizeof name);
        if (n < 0 || n > end - at) return -1;
        at += n;
    }
    if (end - at != 20) return -1;
    *minimum = (uint32_t)ns_get32(at + 16);
    return 0;
}

/* A record of a section: 0, or -1 when it or its data is malformed. owner and target have room for
 * EKIDEN_DNS_NAME_BYTES; target is set for CNAME, PTR and MX, else empty. */
static inline int ekiden_dns_record_at(
    ns_msg *message, int section, int index,
    struct ekiden_dns_record *record, char *owner, char *target)
{
    ns_rr rr;
    memset(record, 0, sizeof *record);
    target[0] = 0;
    if (ns_parserr(message, (ns_sect)section, index, &rr) < 0) return -1;
    memcpy(owner, rr.name, NS_MAXDNAME);
    ekiden_dns_root(owner);
    record->type = ns_rr_type(rr);
    record->class_ = (uint16_t)ns_rr_class(rr);
    record->ttl = (uint32_t)ns_rr_ttl(rr);
    const uint8_t *data = ns_rr_rdata(rr);
    const uint8_t *end = data + ns_rr_rdlen(rr);
    if (record->class_ != ns_c_in) return 0;
    switch (record->type) {
    case ns_t_a:
        if (end - data != 4) return -1;
        record->address4 = (uint32_t)ns_get32(data);
        return 0;
    case ns_t_aaaa:
        if (end - data != 16) return -1;
        record->address6_high =
            (uint64_t)(uint32_t)ns_get32(data) << 32 | (uint32_t)ns_get32(data + 4);
        record->address6_low =
            (uint64_t)(uint32_t)ns_get32(data + 8) << 32 | (uint32_t)ns_get32(data + 12);
        return 0;
    case ns_t_mx:
        if (end - data < 3) return -1;
        record->preference = (uint16_t)ns_get16(data);
        return ekiden_dns_target(message, data + 2, end, target);
    case ns_t_cname:
    case ns_t_ptr:
        return ekiden_dns_target(message, data, end, target);
    case ns_t_soa:
        return ekiden_dns_soa_minimum(message, data, end, &record->minimum);
    default:
        return 0;
    }
}

/* Writes a recursive question of class IN (RFC 1035 §4.1), with an empty OPT record that offers
 * payload bytes when payload is not 0 (RFC 6891 §6.1.2). Returns its length, or -1 when the name
 * can't be one. out has room for EKIDEN_DNS_QUESTION_BYTES. */
static inline int ekiden_dns_write_question(
    uint8_t *out, uint16_t id, const char *name, uint16_t type, uint16_t payload)
{
    uint8_t *p = out;
    memset(p, 0, NS_HFIXEDSZ);
    ns_put16(id, p);
    p[2] = 1; /* RD */
    p[5] = 1; /* QDCOUNT */
    p[11] = payload ? 1 : 0; /* ARCOUNT */
    p += NS_HFIXEDSZ;
    if (ns_name_pton(name, p, NS_MAXCDNAME) < 0) return -1;
    while (*p) p += *p + 1;
    p++;
    ns_put16(type, p);
    ns_put16(ns_c_in, p + 2);
    p += 4;
    if (payload) {
        memset(p, 0, 11);
        ns_put16(ns_t_opt, p + 1);
        ns_put16(payload, p + 3);
        p += 11;
    }
    return (int)(p - out);
}

#endif
