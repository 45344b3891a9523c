/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the secrets of an OpenVPN tunnel come from, and which files are refused.
 */
#include "controlplane/ovpn_material.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "controlplane/ovpn_settings.h"
#include "tests/unit/common/unit.h"

static void write_bytes(const char *path, const char *bytes, size_t length, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), (ssize_t)length);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void write_text(const char *path, const char *text, mode_t mode)
{
	write_bytes(path, text, strlen(text), mode);
}

/* A server whose settings are its own, with CA and password. */
static struct cp_ovpn_settings settings;
static struct cp_server server;

static int setup(void **state)
{
	(void)state;
	cp_ovpn_settings_init(&settings);
	memset(&server, 0, sizeof(server));
	server.openvpn = &settings;
	strcpy(server.account, "me");
	strcpy(server.secret_file, "password");
	settings.has_password = true;
	strcpy(settings.ca.file, "ca.pem");
	write_text("ca.pem", "-----BEGIN CERTIFICATE-----\nca\n", 0644);
	write_text("password", "swordfish\n", 0400);
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = { "ca.pem", "password", "file", "profile" };

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	return 0;
}

static void assert_refused(const char *expected)
{
	struct cp_ovpn_material material;
	static const struct cp_ovpn_material nothing;
	char why[CP_WHY_LEN] = "";

	assert_int_not_equal(cp_ovpn_material_load(&server, &material, why), 0);
	if (!strstr(why, expected))
		fail_msg("\"%s\" is not in \"%s\"", expected, why);
	assert_memory_equal(&material, &nothing, sizeof(material));
}

static struct cp_ovpn_material load(void)
{
	struct cp_ovpn_material material;
	char why[CP_WHY_LEN] = "";

	if (cp_ovpn_material_load(&server, &material, why) != 0)
		fail_msg("%s", why);
	return material;
}

static void assert_secret(const struct sp_secret *secret, const char *text)
{
	assert_non_null(secret);
	assert_int_equal(secret->length, strlen(text));
	assert_memory_equal(secret->data, text, strlen(text));
}

static void test_password(void **state)
{
	struct cp_ovpn_material material = load();

	(void)state;
	assert_string_equal(material.account, "me");
	assert_secret(material.password, "swordfish");
	assert_string_equal(material.ca, "-----BEGIN CERTIFICATE-----\nca\n");
	assert_null(material.certificate);
	assert_null(material.key);
	assert_null(material.wrap);
	assert_int_equal(material.wkc_length, 0);
	cp_ovpn_material_wipe(&material);
	assert_null(material.ca);

	/* it is read again each time */
	write_text("password", "trout\r", 0440);
	material = load();
	assert_secret(material.password, "trout\r");
	cp_ovpn_material_wipe(&material);

	write_text("password", "trout", 0644);
	assert_refused("by no others");
	write_text("password", "", 0600);
	assert_refused("is empty");
	unlink("password");
	assert_refused("No such file");
	settings.has_password = false;
	material = load();
	assert_null(material.password);
	cp_ovpn_material_wipe(&material);
	unlink("ca.pem");
	assert_refused("ca.pem: No such file");
}

static void test_login_file(void **state)
{
	struct cp_ovpn_material material;

	(void)state;
	strcpy(settings.login.file, "file");
	write_text("file", "anna\r\nopen sesame \r\nrest", 0600);
	material = load();
	assert_string_equal(material.account, "anna");
	assert_secret(material.password, "open sesame ");
	cp_ovpn_material_wipe(&material);
	write_text("file", "anna", 0600);
	assert_refused("its second line must be the password");
	write_text("file", "\nsecret", 0600);
	assert_refused("its first line must be the account");
	write_text("file", "anna\nsecret", 0604);
	assert_refused("by no others");
}

static void test_key(void **state)
{
	struct cp_ovpn_material material;

	(void)state;
	strcpy(settings.certificate.file, "ca.pem");
	strcpy(settings.key.file, "file");
	write_text("file", "-----BEGIN PRIVATE KEY-----\n", 0600);
	material = load();
	assert_secret(material.key, "-----BEGIN PRIVATE KEY-----\n");
	assert_non_null(material.certificate);
	cp_ovpn_material_wipe(&material);
	write_text("file", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", 0600);
	assert_refused("encrypted");
	write_text("file", "-----BEGIN PRIVATE KEY-----\n", 0644);
	assert_refused("by no others");
}

#define BEGIN_STATIC "# comment\n-----BEGIN OpenVPN Static key V1-----\n"
#define END_STATIC "-----END OpenVPN Static key V1-----\n"

/* 16 lines of 16 bytes; the byte's value is its place. */
static void format_static_key(char text[1024], unsigned lines)
{
	size_t used = (size_t)sprintf(text, "%s", BEGIN_STATIC);

	for (unsigned i = 0; i < 16 * lines; i++)
		used += (size_t)sprintf(text + used, "%02x%s", i & 255, i % 16 == 15 ? "\r\n" : "");
	sprintf(text + used, "%s", END_STATIC);
}

static void test_static_key(void **state)
{
	struct cp_ovpn_material material;
	char text[1024];

	(void)state;
	settings.wrapping = CP_OVPN_TLS_AUTH;
	strcpy(settings.wrap_key.file, "file");
	format_static_key(text, 16);
	write_text("file", text, 0600);
	material = load();
	assert_non_null(material.wrap);
	assert_int_equal(material.wrap->length, CP_OVPN_STATIC_KEY_LEN);
	for (unsigned i = 0; i < CP_OVPN_STATIC_KEY_LEN; i++)
		assert_int_equal(material.wrap->data[i], i);
	cp_ovpn_material_wipe(&material);
	format_static_key(text, 15);
	write_text("file", text, 0600);
	assert_refused("static key of 2048 bits");
	format_static_key(text, 17);
	write_text("file", text, 0600);
	assert_refused("static key of 2048 bits");
	format_static_key(text, 16);
	memcpy(strstr(text, "0a0b"), "0aXb", 4);
	write_text("file", text, 0600);
	assert_refused("static key of 2048 bits");
	write_text("file", BEGIN_STATIC, 0600);
	assert_refused("static key of 2048 bits");
}

/* As a profile has it: everything in blocks. */
static void test_blocks(void **state)
{
	struct cp_ovpn_material material;
	struct cp_ovpn_place here = { .file = "profile", .is_inline = true };
	char key[1024], text[4096];

	(void)state;
	format_static_key(key, 16);
	snprintf(
		text, sizeof(text),
		"client\r\n<ca>\r\nthe ca\r\n</ca>\n<cert>\nthe certificate\n</cert>\n <key>\nthe key\n </key>\n"
		"<tls-crypt>\n%s</tls-crypt>\n<auth-user-pass>\nanna\nsesame\n</auth-user-pass>\n# <ca>\n",
		key);
	write_text("profile", text, 0400);
	settings.ca = settings.certificate = settings.key = settings.wrap_key = settings.login =
		here;
	settings.wrapping = CP_OVPN_TLS_CRYPT;
	material = load();
	assert_string_equal(material.ca, "the ca\r\n");
	assert_string_equal(material.certificate, "the certificate\n");
	assert_secret(material.key, "the key\n");
	assert_secret(material.password, "sesame");
	assert_string_equal(material.account, "anna");
	assert_int_equal(material.wrap->data[255], 255);
	cp_ovpn_material_wipe(&material);

	write_text("profile", text, 0644);
	assert_refused("by no others");
	*strstr(text, "<key>") = '#';
	write_text("profile", text, 0400);
	assert_refused("has no <key> any more");
}

static void format_base64(char *text, const uint8_t *bytes, size_t length)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t used = 0;

	for (size_t i = 0; i < length; i += 3) {
		const uint32_t bits = (uint32_t)bytes[i] << 16 |
		                      (i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0) |
		                      (i + 2 < length ? bytes[i + 2] : 0);

		text[used++] = alphabet[bits >> 18];
		text[used++] = alphabet[bits >> 12 & 63];
		text[used++] = i + 1 < length ? alphabet[bits >> 6 & 63] : '=';
		text[used++] = i + 2 < length ? alphabet[bits & 63] : '=';
		if (i % 48 == 45)
			text[used++] = '\n';
	}
	text[used] = 0;
}

static void test_client_key(void **state)
{
	struct cp_ovpn_material material;
	uint8_t bytes[CP_OVPN_STATIC_KEY_LEN + 300];
	char inside[1024], text[2048];

	(void)state;
	settings.wrapping = CP_OVPN_TLS_CRYPT_V2;
	strcpy(settings.wrap_key.file, "file");
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	bytes[sizeof(bytes) - 2] = 300 >> 8;
	bytes[sizeof(bytes) - 1] = 300 & 255;
	format_base64(inside, bytes, sizeof(bytes));
	snprintf(
		text, sizeof(text),
		"-----BEGIN OpenVPN tls-crypt-v2 client key-----\n%s\n-----END OpenVPN tls-crypt-v2 client key-----\n",
		inside);
	write_text("file", text, 0600);
	material = load();
	assert_int_equal(material.wrap->length, CP_OVPN_STATIC_KEY_LEN);
	assert_memory_equal(material.wrap->data, bytes, CP_OVPN_STATIC_KEY_LEN);
	assert_int_equal(material.wkc_length, 300);
	assert_memory_equal(material.wkc, bytes + CP_OVPN_STATIC_KEY_LEN, 300);
	cp_ovpn_material_wipe(&material);

	memmove(strstr(text, inside) + 40, strstr(text, inside) + 44,
	        strlen(strstr(text, inside) + 44) + 1);
	write_text("file", text, 0600);
	assert_refused("was cut");
	write_text(
		"file",
		"-----BEGIN OpenVPN tls-crypt-v2 client key-----\nAAAA\n-----END OpenVPN tls-crypt-v2 client key-----\n",
		0600);
	assert_refused("is not a client key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_password, setup, teardown),
		cmocka_unit_test_setup_teardown(test_login_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_static_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_key, setup, teardown),
	};

	return cmocka_run_group_tests(tests, unit_enter_directory, unit_leave_directory);
}
