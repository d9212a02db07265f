/* SPDX-License-Identifier: MIT */
/* The manual page and --help say the same options. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd_agent.h"
#include "cli/cmd_check.h"
#include "cli/cmd_run.h"
#include "cli/cmd_stats.h"
#include "report/query.h"

static char page[1 << 16];

static void read_page(void)
{
	FILE *file = fopen("src/man/reqmeter.8", "r");

	cr_assert(file, "tests run in the project's top directory");
	page[fread(page, 1, sizeof(page) - 1, file)] = 0;
	fclose(file);
}

/* What `COMMAND --help` prints. */
static char *help_of(int (*main)(int, char **), const char *name)
{
	char *argv[] = { (char *)name, (char *)"--help", NULL }, *text = calloc(1, 1 << 16);
	FILE *out = tmpfile();
	int before = dup(STDOUT_FILENO);

	cr_assert(text && out);
	fflush(stdout);
	dup2(fileno(out), STDOUT_FILENO);
	cr_expect_eq(main(2, argv), 0);
	fflush(stdout);
	dup2(before, STDOUT_FILENO);
	close(before);
	rewind(out);
	cr_assert_gt(fread(text, 1, (1 << 16) - 1, out), 0);
	fclose(out);
	return text;
}

/* The section of a command, cut out of the page. */
static char *section_of(const char *name)
{
	char title[64];
	const char *begin, *end;

	snprintf(title, sizeof(title), ".Sh REQMETER %s\n", name);
	begin = strstr(page, title);
	cr_assert(begin, "no section %s", title);
	end = strstr(begin + 1, ".Sh ");
	cr_assert(end);
	return strndup(begin, (size_t)(end - begin));
}

/* As an item of a list: with what follows it, so that --id is not found in --id-header. */
static bool documents(const char *section, const char *option)
{
	char item[96];
	const char *at = section;
	size_t n = (size_t)snprintf(item, sizeof(item), "Fl -%s", option);

	while ((at = strstr(at, item))) {
		const char *line = at;

		while (line > section && line[-1] != '\n')
			line--;
		if (strncmp(line, ".It ", 4) == 0 && (at[n] == ' ' || at[n] == '\n'))
			return true;
		at += n;
	}
	return false;
}

/* Looks at each "  --name" and "  -x, --name" of the help; returns how many there were. */
static int compare(const char *help, const char *section, const char *command)
{
	char *copy = strdup(help), *rest = copy, *line;
	int n = 0;

	while ((line = strsep(&rest, "\n"))) {
		char *option = strncmp(line, "  -", 3) == 0 ? strstr(line, "--") : NULL;

		if (!option)
			continue;
		option += 2;
		option[strcspn(option, " ")] = 0;
		if (strcmp(option, "help") == 0)
			continue;
		n++;
		cr_expect(documents(section, option), "%s --%s is not in the manual page", command, option);
	}
	free(copy);
	return n;
}

/* Variables that the help names must stand in the page, too. */
static void compare_environment(const char *help)
{
	static const char *const variables[] = { "REQMETER_AGENT", "REQMETER_LISTEN", "REQMETER_TOKEN_FILE" };
	char item[64];

	for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
		snprintf(item, sizeof(item), ".It Ev %s\n", variables[i]);
		if (strstr(help, variables[i]))
			cr_expect(strstr(page, item), "%s", variables[i]);
	}
}

Test(cli_man, every_option_is_documented)
{
	static const struct {
		const char *name, *section;
		int (*main)(int argc, char **argv);
		int least; /* fewer would mean that nothing was compared */
	} commands[] = {
		{ "agent", "AGENT", cmd_agent, 12 },
		{ "run", "RUN", cmd_run, 9 },
		{ "stats", "STATS", cmd_stats, 10 },
		{ "check", "CHECK", cmd_check, 4 },
	};

	read_page();
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		char *help = help_of(commands[i].main, commands[i].name), *section = section_of(commands[i].section);

		cr_expect_geq(compare(help, section, commands[i].name), commands[i].least, "%s", commands[i].name);
		compare_environment(help);
		free(help);
		free(section);
	}
}

/* The parameters are those that the refusal of an unknown one lists. */
Test(cli_man, every_query_parameter_is_documented)
{
	char error[QUERY_ERROR_SIZE], item[64], *list, *name, *save;
	struct query query;
	int n = 0;

	read_page();
	query_init(&query);
	cr_assert_neq(query_set(&query, "nonesuch", "1", error, sizeof(error)), 0);
	list = strstr(error, "there are ");
	cr_assert(list, "%s", error);
	for (name = strtok_r(list + strlen("there are "), ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
		if (strcmp(name, "and") == 0)
			continue;
		snprintf(item, sizeof(item), ".It Cm %s Ns =", name);
		cr_expect(strstr(page, item), "%s is not in the manual page", name);
		n++;
	}
	cr_expect_geq(n, 17);
}

Test(cli_man, a_missing_option_is_noticed)
{
	cr_expect(documents(".It Fl -id-header Ar NAME\n", "id-header"));
	cr_expect_not(documents(".It Fl -id-header Ar NAME\n", "id"));
	cr_expect_not(documents("see\n.Fl -id ,\n", "id"));
	cr_expect(documents(".It Fl o , Fl -output Ar FILE\n", "output"));
}
