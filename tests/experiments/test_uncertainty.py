from fedet.experiments.uncertainty import looks_at_a_test_set, seeds_in_and_out


def test_intervals_without_the_seeds_find_differences_where_there_are_none():
    table = seeds_in_and_out(studies=120)
    assert table.loc[1, "leaves 0 out, seeds out"] > 0.15
    assert (table["leaves 0 out, seeds in"].dropna() < 0.1).all()
    several = table.loc[[3, 5]]
    assert (several["width, seeds in"] > several["width, seeds out"]).all()


def test_each_look_at_a_test_set_adds_to_its_figure_and_to_nothing_else():
    table = looks_at_a_test_set(studies=150)
    assert table["too high by"].is_monotonic_increasing and abs(table.loc[1, "too high by"]) < 0.02
    assert table.loc[30, "too high by"] > 0.02
    new = table["on new people"]
    assert new.max() - new.min() < 0.03
