/* OpenSSL as Swift sees it: its headers, and what in them are macros. */
#ifndef EKIDEN_COPENSSL_H
#define EKIDEN_COPENSSL_H
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/objects.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

/* Key exchange on curves alone. The finite-field groups of TLS 1.3 (RFC 7919) cost a server up to
 * 20 ms for each handshake that a client may ask for at will; everybody has a curve. The first list
 * is for OpenSSL 3.5 and newer, others don't know its first group. */
static inline int ekiden_context_set_groups(SSL_CTX *context) {
    if (SSL_CTX_set1_groups_list(context, "X25519MLKEM768:X25519:P-256:X448:P-384:P-521") == 1)
        return 1;
    ERR_clear_error();
    return SSL_CTX_set1_groups_list(context, "X25519:P-256:X448:P-384:P-521");
}

/* The settings of every server context: TLS 1.2 and newer (RFC 8996, RFC 9325 §3.1.1), forward
 * secrecy and authenticated encryption in all suites (RFC 9325 §4), no renegotiation, tickets instead
 * of a table of sessions. DHE comes last: it costs a server more, and some systems of 2012 have it as
 * their only such suite towards an RSA certificate. 1 on success. */
static inline int ekiden_server_context_init(SSL_CTX *context) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE
                                     | SSL_OP_NO_COMPRESSION | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_dh_auto(context, 1);
    static const unsigned char id[] = "ekiden";
    if (SSL_CTX_set_session_id_context(context, id, sizeof id - 1) != 1) return 0;
    if (ekiden_context_set_groups(context) != 1) return 0;
    return SSL_CTX_set_cipher_list(context,
                                   "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!PSK:!DSS");
}

/* The settings of every client context. Towards whom is policy's to say, so a handshake with any
 * certificate goes on: SSL_get_verify_result tells what was wrong with it. TLS 1.2 and newer; what can
 * do less is as good as in the clear (RFC 8996), which "may" falls back to. 1 on success. */
static inline int ekiden_accept_any_peer(int ok, X509_STORE_CTX *store);
static inline int ekiden_client_context_init(SSL_CTX *context) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, ekiden_accept_any_peer);
    return ekiden_context_set_groups(context);
}

/* Asks for a host by its name (RFC 6066 §3), unless it is an address. */
static inline void ekiden_ssl_ask_for(SSL *ssl, const char *name) {
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);
    if (address) {
        ASN1_OCTET_STRING_free(address);
        return;
    }
    SSL_set_tlsext_host_name(ssl, name);
}

/* One more name that the peer's certificate may have; ".example.org" is any name below. 1 on success. */
static inline int ekiden_ssl_expect(SSL *ssl, const char *name) {
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);
    if (address) {
        ASN1_OCTET_STRING_free(address);
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_add1_host(ssl, name);
}

static inline void ekiden_ssl_verify_at(SSL *ssl, int64_t seconds) {
    X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), (time_t)seconds);
}

/* A key with a passphrase is refused; nobody is there to be asked. */
static inline int ekiden_no_passphrase(char *room, int size, int writing, void *u) {
    (void)room; (void)size; (void)writing; (void)u;
    return -1;
}

static inline void ekiden_context_never_ask(SSL_CTX *context) {
    SSL_CTX_set_default_passwd_cb(context, ekiden_no_passphrase);
}

/* The last error says that a key belongs to another certificate. */
static inline int ekiden_is_key_mismatch(void) {
    unsigned long last = ERR_peek_last_error();
    return ERR_GET_LIB(last) == ERR_LIB_X509
        && (ERR_GET_REASON(last) == X509_R_KEY_VALUES_MISMATCH
            || ERR_GET_REASON(last) == X509_R_KEY_TYPE_MISMATCH);
}

typedef int (*ekiden_name_callback)(SSL *, int *, void *);

static inline void ekiden_context_on_name(SSL_CTX *context, ekiden_name_callback callback,
                                          void *argument) {
    SSL_CTX_set_tlsext_servername_callback(context, callback);
    SSL_CTX_set_tlsext_servername_arg(context, argument);
}

static inline int ekiden_accept_any_peer(int ok, X509_STORE_CTX *store) {
    (void)ok; (void)store;
    return 1;
}

/* Asks for a client's certificate, and goes on without one or with one nobody vouches for. */
static inline void ekiden_context_ask_peer(SSL_CTX *context) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, ekiden_accept_any_peer);
}

static inline void ekiden_context_require_peer(SSL_CTX *context) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static inline const char *ekiden_ssl_name_asked_for(const SSL *ssl) {
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
}

static inline const char *ekiden_ssl_cipher(const SSL *ssl) { return SSL_get_cipher_name(ssl); }

static inline int ekiden_ssl_is_tls13(const SSL *ssl) { return SSL_version(ssl) == TLS1_3_VERSION; }

/* A memory buffer that says "later" and not "end" when it is empty. */
static inline BIO *ekiden_buffer_new(void) {
    BIO *buffer = BIO_new(BIO_s_mem());
    if (buffer) BIO_set_mem_eof_return(buffer, -1);
    return buffer;
}

/* SHA-256 of the certificate's DER form; the count of bytes or 0. */
static inline unsigned ekiden_fingerprint(const X509 *certificate, unsigned char *room) {
    unsigned count = 0;
    return X509_digest(certificate, EVP_sha256(), room, &count) == 1 ? count : 0;
}

/* RFC 5929 §4.1, tls-server-end-point: the digest of the certificate's own signature algorithm,
 * SHA-256 in place of MD5 and SHA-1; the count of bytes, 0 if it has none. room: EVP_MAX_MD_SIZE. */
static inline unsigned ekiden_end_point_binding(const X509 *certificate, unsigned char *room) {
    int digest = 0;
    if (!OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest, NULL)) return 0;
    if (digest == NID_undef) return 0;
    if (digest == NID_md5 || digest == NID_sha1) digest = NID_sha256;
    const EVP_MD *md = EVP_get_digestbyname(OBJ_nid2sn(digest));
    unsigned count = 0;
    return md && X509_digest(certificate, md, room, &count) == 1 ? count : 0;
}

/* The subject's common name, NUL-terminated; its length, or 0. */
static inline size_t ekiden_common_name(const X509 *certificate, char *room, size_t size) {
    int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, room,
                                      (int)size);
    return n > 0 ? (size_t)n : 0;
}

/* DNS names and mail addresses of the subject alternative name, each followed by a newline; the
 * count of bytes. Names that hold a control character are left out. */
static inline size_t ekiden_alternative_names(const X509 *certificate, char *room, size_t size) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS && name->type != GEN_EMAIL) continue;
        const ASN1_IA5STRING *text = name->type == GEN_DNS ? name->d.dNSName : name->d.rfc822Name;
        const unsigned char *bytes = ASN1_STRING_get0_data(text);
        size_t count = (size_t)ASN1_STRING_length(text);
        int isClean = count > 0 && used + count + 1 <= size;
        for (size_t k = 0; isClean && k < count; k++) isClean = bytes[k] > 0x20 && bytes[k] < 0x7f;
        if (!isClean) continue;
        memcpy(room + used, bytes, count);
        used += count;
        room[used++] = '\n';
    }
    GENERAL_NAMES_free(names);
    return used;
}

/* When it ends, in seconds since 1970; -1 if that can't be read. */
static inline int64_t ekiden_not_after(const X509 *certificate) {
    struct tm end;
    memset(&end, 0, sizeof end);
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1) return -1;
    return (int64_t)timegm(&end);
}

#endif
